/** The commands of an operator against the real API: what they print, ask and change. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";

import { run } from "../../cli/main.ts";
import type { Terminal } from "../../cli/command.ts";
import { addApiKey } from "#shared/app/api-keys.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";
import { memorySecrets } from "../support/memory-secrets.ts";

let api: ApiHarness;
before(async () => {
  api = await startApi({ config: { zones: { news: { disabled: true } } } });
});
after(() => api[Symbol.asyncDispose]());

interface Talk {
  /** What to answer when asked; null: there is nobody to ask. */
  readonly confirms?: boolean | null;
  readonly input?: Iterable<string> | AsyncIterable<string>;
  readonly env?: Readonly<Record<string, string>>;
}

/** Run a command; words with spaces are given as they are in the list. */
async function zonefleet(words: readonly string[], talk: Talk = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const asked: string[] = [];
  let bytes = "";
  const env: Readonly<Record<string, string>> = { ZONEFLEET_URL: api.url, ...talk.env };
  const terminal: Terminal = {
    secrets: memorySecrets(),
    print: (line) => out.push(line),
    complain: (line) => err.push(line),
    readSecret: () => Promise.resolve(null),
    readInput: () => Promise.resolve(""),
    deployment: () => assert.fail("no command of these tests looks at the deployment"),
    site: () => assert.fail("no command of these tests looks at the installation"),
    bounceRules: () => Promise.resolve([]),
    env: (name) => env[name],
    environment: env,
    confirm: (question) => {
      asked.push(question);
      return Promise.resolve(talk.confirms ?? null);
    },
    readText: async function* () {
      yield* talk.input ?? [];
    },
    write: (chunk) => {
      bytes += Buffer.from(chunk).toString("utf8");
      return Promise.resolve();
    },
  };
  const code = await run(words, terminal);
  return { code, out, err, asked, bytes };
}

const words = (line: string): string[] => line.split(" ");

async function send(to: string, from = "anna@example.com"): Promise<string> {
  const { json } = await api.ask("POST", "/send", { body: { from, to, subject: "Hello", text: "hi" } });
  return json.id;
}

describe("zonefleet queue", () => {
  test("counts, asks, changes and reports; a no changes nothing", async () => {
    for (let i = 0; i < 3; i++) await send(`rcpt${i}@bulk.example`);
    const command = words("queue hold --domain bulk.example");
    const dry = await zonefleet([...command, "--dry-run"]);
    assert.deepEqual([dry.code, dry.out, dry.asked], [0, ["3 recipients would be held."], []]);
    const no = await zonefleet(command, { confirms: false });
    assert.deepEqual([no.asked, no.out.at(-1)], [["hold 3 recipients? [y/N] "], "Nothing was changed."]);
    const nobody = await zonefleet(command);
    assert.equal(nobody.code, 2);
    assert.match(nobody.err[0] ?? "", /--yes/);
    const yes = await zonefleet(command, { confirms: true });
    assert.deepEqual(yes.out, ["3 recipients would be held.", "3 recipients held."]);
    const released = await zonefleet([...words("queue release --domain bulk.example"), "--yes"]);
    assert.deepEqual([released.out, released.asked], [["3 recipients released."], []]);
    assert.deepEqual((await zonefleet([...command, "--older-than", "1d", "--dry-run"])).out, [
      "0 recipients would be held.",
    ]);
    assert.deepEqual((await zonefleet(words("queue drop --domain bulk.example --yes"))).out, [
      "3 recipients dropped.",
    ]);
  });

  test("goes through more recipients than one call of the API looks at", async () => {
    const to = Array.from({ length: 1_000 }, (_, i) => `rcpt${i}@many.example`);
    for (let i = 0; i < 6; i++) {
      const body = { from: "a@example.com", envelope: { from: "a@example.com", to }, text: "hi" };
      const { status, text } = await api.ask("POST", "/send", { body });
      assert.equal(status, 200, text);
    }
    const done = await zonefleet(words("queue drop --domain many.example --yes"));
    assert.deepEqual(done.out, ["6000 recipients dropped."]);
  });

  test("list shows one line for each, by any condition, and says when there is more", async () => {
    const first = await send("one@list.example", "Boss@shop.example");
    await send("two@list.example");
    const all = await zonefleet(words("queue list --domain list.example"));
    assert.equal(all.out.length, 2);
    assert.match(
      all.out[0] ?? "",
      new RegExp(`^${first} 001\tQUEUED\tdefault\t20.*Z\tBoss@shop.example\tone@list.example$`),
    );
    const some = await zonefleet(words("queue list --domain list.example --limit 1 --json"));
    assert.equal((JSON.parse(some.out[0] ?? "") as { id: string }).id, first);
    const [, cursor = ""] = /--cursor (\S+) .*--limit/.exec(some.err[0] ?? "") ?? [];
    const rest = await zonefleet(words(`queue list --domain list.example --cursor ${cursor} --json`));
    const seen = [...some.out, ...rest.out].map(
      (line) => (JSON.parse(line) as { recipient: string }).recipient,
    );
    assert.deepEqual(seen, ["one@list.example", "two@list.example"]);
    assert.deepEqual(rest.err, []);
    const ofShop = await zonefleet(words("queue list --sender shop.example --json"));
    assert.equal(ofShop.out.length, 1);
  });

  test("show, fetch and the operations take a message, or one recipient of it", async () => {
    const id = await send("show@one.example");
    const shown = await zonefleet(["queue", "show", id]);
    assert.match(shown.out.join("\n"), /subject   Hello\n[^]*001  show@one.example  QUEUED/);
    assert.match((await zonefleet(["queue", "fetch", id])).bytes, /^Subject: Hello\r$/m);
    assert.deepEqual((await zonefleet(["queue", "hold", id, "001"])).out, [`${id}.001 held`]);
    assert.deepEqual((await zonefleet(["queue", "release", id])).out, [`${id}.001 released`]);
    assert.deepEqual((await zonefleet(["queue", "retry", id])).out, [`${id}.001 due now`]);
    assert.deepEqual((await zonefleet(["queue", "drop", id])).out, [`${id}.001 dropped`]);
    const again = await zonefleet(["queue", "drop", id]);
    assert.equal(again.code, 1);
    assert.match(again.err[0] ?? "", /nothing was changed: .* this is dropped/);
  });
});

describe("zonefleet suppress", () => {
  test("add, list and remove by name, in a scope and with an end", async () => {
    const added = await zonefleet(words("suppress add shy@one.example --user shop --expires 30d"));
    assert.match(added.out[0] ?? "", /\tshy@one.example\tuser shop\t20.*\tuntil 20/);
    await zonefleet([...words("suppress add whole.example --reason"), "asked us"]);
    const listed = await zonefleet(words("suppress list"));
    assert.equal(listed.out.length, 2);
    assert.match(listed.out[1] ?? "", /\twhole.example\tall mail\t.*\tasked us$/);
    assert.equal((await zonefleet(words("suppress remove shy@one.example"))).code, 1);
    assert.equal((await zonefleet(words("suppress remove shy@one.example --user shop"))).code, 0);
    const { id } = JSON.parse((await zonefleet(words("suppress list --json"))).out[0] ?? "") as {
      id: string;
    };
    assert.deepEqual((await zonefleet(["suppress", "remove", id])).out, [`Entry ${id} removed.`]);
  });

  test("import takes a file of any length in batches, tells what it cannot read, and export gives it back", async () => {
    const lines = Array.from({ length: 2_300 }, (_, i) => `rcpt${i}@import.example,"why, ${i}"\n`);
    lines[1_500] = "wrong@,\n";
    const csv = `address,reason\n${lines.join("")}`;
    const input = csv.match(/[^]{1,1000}/g) ?? [];
    const dry = await zonefleet(words("suppress import list.csv --dry-run"), { input });
    assert.match(dry.out[0] ?? "", /^2300 entries: 2299 would be added, 0 there already, 1 not understood/);
    assert.match(dry.err[0] ?? "", /^entry 1501: address: "wrong@" is not a mail address/);
    const done = await zonefleet(words("suppress import --format csv"), { input });
    assert.match(done.out[0] ?? "", /^2300 entries: 2299 added/);
    assert.deepEqual([dry.code, done.code], [1, 1], "a script is told that not all of it is on the list");
    for (const format of ["ndjson", "csv"]) {
      const { bytes } = await zonefleet(words(`suppress export --format ${format}`));
      assert.equal(bytes.split("\n").length - 1, format === "csv" ? 2_300 : 2_299);
      const back = await zonefleet(words(`suppress import --format ${format}`), { input: [bytes] });
      assert.match(back.out[0] ?? "", /^2299 entries: 0 added, 2299 there already, 0 not understood/);
      assert.equal(back.code, 0);
    }
  });
});

test("a file without line ends is not read into memory whole", async () => {
  let read = 0;
  async function* endless(): AsyncGenerator<string> {
    for (; ; read += 10_000) yield "x".repeat(10_000);
  }
  const { code, err } = await zonefleet(words("suppress import big.ndjson"), { input: endless() });
  assert.equal(code, 1);
  assert.match(err[0] ?? "", /a line has over 65536 characters/);
  assert.ok(read < 100_000);
});

test("zones and status tell what waits and whether mail is taken", async () => {
  await send("waits@one.example");
  const zones = await zonefleet(["zones"]);
  assert.match(zones.out.join("\n"), /^default\tactive \d+\tdeferred 0\theld 0\nnews\t.*\tdisabled$/m);
  const status = await zonefleet(["status"]);
  assert.match(status.out.join("\n"), /^health     ok\nactive     \d+/);
  const { skipDomains } = JSON.parse((await zonefleet(["status", "--json"])).out[0] ?? "") as {
    skipDomains: unknown;
  };
  assert.deepEqual(skipDomains, []);
});

test("a server that is not there, and a key that is refused, are told in words", async () => {
  const none = await zonefleet(["status", "--url", "http://127.0.0.1:1"]);
  assert.equal(none.code, 1);
  assert.match(none.err[0] ?? "", /no answer from http:\/\/127.0.0.1:1: .*is ZoneFleet running there/);
  await using locked = await startApi();
  const { secrets } = locked.backend;
  const url = { ZONEFLEET_URL: locked.url };
  const { key } = await addApiKey(
    { secrets, clock: systemClock, random: randomBytes },
    { scopes: ["read"], label: "" },
  );
  const without = await zonefleet(["zones"], { env: url });
  assert.deepEqual([without.code, /ZONEFLEET_API_KEY/.test(without.err[0] ?? "")], [1, true]);
  assert.equal((await zonefleet(["zones"], { env: { ...url, ZONEFLEET_API_KEY: key } })).code, 0);
  assert.equal((await zonefleet(["zones", "--key", key], { env: url })).code, 0);
  const child = spawn(process.execPath, [join(import.meta.dirname, "../../cli/main.ts"), "zones"], {
    env: { ...process.env, ...url, ZONEFLEET_API_KEY: key },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  assert.equal(code, 0);
  assert.match(out, /^default\t/m);
});

describe("zonefleet dkim", () => {
  test("makes a key once, lists it as a line of a zone file, and removes it", async () => {
    const made = await zonefleet(["dkim", "generate", "shop.example", "s1", "--algorithm", "ed25519"]);
    assert.equal(made.code, 0, made.err.join());
    assert.match(made.out.join(), /^s1\._domainkey\.shop\.example\..*TXT.*v=DKIM1; k=ed25519; p=/);
    const listed = await zonefleet(["dkim", "list", "shop.example"]);
    assert.deepEqual(listed.out, made.out);
    const removed = await zonefleet(["dkim", "remove", "shop.example", "s1"]);
    assert.match(removed.out.join(), /^s1\._domainkey\.shop\.example removed/);
    assert.deepEqual((await zonefleet(["dkim", "list"])).out, []);
  });

  test("adds a key of one's own, and sends nothing that is none", async () => {
    const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const added = await zonefleet(["dkim", "add", "own.example", "s1", "--json"], { input: [pem] });
    assert.equal((JSON.parse(added.out.join()) as { domain: string }).domain, "own.example");
    assert.equal((await zonefleet(["dkim", "add", "own.example", "s2"], { input: [""] })).code, 2);
    assert.equal((await zonefleet(["dkim", "add", "own.example"])).code, 2);
  });
});
