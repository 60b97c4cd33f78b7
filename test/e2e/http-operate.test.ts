/** The routes by which an operator works on much at once: the suppression list in bulk, blocked addresses, what is skipped. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { WorkerId } from "#shared/domain/ids.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { DAY, HOUR } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";

let api: ApiHarness;
before(async () => {
  api = await startApi();
});
after(() => api[Symbol.asyncDispose]());

const post = async (path: string, type: string, body: string) => {
  const { status, json } = await api.ask("POST", path, { headers: { "content-type": type }, body });
  assert.equal(status, 200, JSON.stringify(json));
  return json;
};

/** All pages of an export, and how many there were. */
async function exported(format: string, pageSize: number): Promise<{ text: string; pages: number }> {
  let path: string | undefined = `/suppressionlist/export?format=${format}&pageSize=${pageSize}`;
  let text = "";
  let pages = 0;
  while (path !== undefined && pages < 100) {
    const answer = await api.ask("GET", path);
    assert.equal(answer.status, 200);
    text += answer.text;
    pages++;
    path = /^<([^>]+)>; rel="next"$/.exec(String(answer.headers["link"] ?? ""))?.[1];
  }
  return { text, pages };
}

describe("the suppression list in bulk", () => {
  test("what is exported in pages is imported as it was, in both forms, and again without a change", async () => {
    const lines = Array.from({ length: 25 }, (_, i) => JSON.stringify({ address: `rcpt${i}@one.example` }));
    lines.push('{"domain":"two.example","sender":"shop.example","reason":"a, \\"b\\"\\nc"}');
    const expires = new Date(Date.now() + DAY).toISOString();
    lines.push(JSON.stringify({ domain: "three.example", user: "shop", expires }));
    const first = await post("/suppressionlist/import", "application/x-ndjson", lines.join("\n"));
    assert.deepEqual(first, { dryRun: false, entries: 27, added: 27, present: 0, invalid: [] });
    const entriesOf = (text: string) =>
      text
        .trim()
        .split("\n")
        .map((line) => ({ ...(JSON.parse(line) as Record<string, unknown>), id: null, created: null }));
    const before = await exported("ndjson", 10);
    assert.equal(before.pages, 3);
    for (const format of ["ndjson", "csv"]) {
      const { text } = await exported(format, 7);
      const type = format === "csv" ? "text/csv" : "application/x-ndjson";
      const same = await post("/suppressionlist/import", type, text);
      assert.deepEqual([same.entries, same.added, same.present, same.invalid], [27, 0, 27, []]);
      for (const { id } of (await api.ask("GET", "/suppressionlist")).json.suppressed) {
        assert.equal((await api.ask("DELETE", "/suppressionlist", { body: { id } })).status, 200);
      }
      const again = await post("/suppressionlist/import", type, text);
      assert.deepEqual([again.added, again.invalid], [27, []]);
      assert.deepEqual(entriesOf((await exported("ndjson", 1_000)).text), entriesOf(before.text));
    }
  });

  test("a list of addresses and no more is CSV too, and a dry run adds nothing", async () => {
    const list = "plain1@list.example\nplain2@list.example\nwrong@\n";
    const dry = await post("/suppressionlist/import?dryRun=yes", "text/csv", list);
    assert.deepEqual([dry.added, dry.invalid[0].entry, dry.invalid.length], [2, 3, 1]);
    const done = await post("/suppressionlist/import", "text/csv", list);
    assert.deepEqual([done.added, done.present], [2, 0]);
  });

  test("over a thousand entries are refused whole", async () => {
    const body = Array.from({ length: 1_001 }, (_, i) => `x${i}@many.example`).join("\n");
    const { status, json } = await api.ask("POST", "/suppressionlist/import", {
      headers: { "content-type": "text/csv" },
      body,
    });
    assert.deepEqual([status, json.code], [413, "too-large"]);
    assert.doesNotMatch((await exported("ndjson", 1_000)).text, /many\.example/);
  });

  test("no spelling of a domain escapes, whatever the local part is written in", async () => {
    await api.ask("POST", "/suppressionlist", { body: { domain: "MÜNCHEN.example" } });
    for (const to of ["anna@münchen.example", "anna@xn--mnchen-3ya.example", "jörg@München.example"]) {
      const { json } = await api.ask("POST", "/send", { body: { from: "a@example.com", to, text: "hi" } });
      const [row] = (await api.ask("GET", `/message/${json.id}`)).json.messages;
      assert.equal(row.status, "SUPPRESSED", to);
      assert.match(row.lastAttempt.response, /xn--mnchen-3ya.example is on the suppression list/);
    }
  });

  test("mail of one user is stopped and shown as suppressed, and that of another is not", async () => {
    await api.ask("POST", "/suppressionlist", { body: { address: "shy@scope.example", user: "shop" } });
    const stateFor = async (user: string): Promise<string> => {
      const { json } = await api.ask("POST", "/send", {
        headers: { "x-authenticated-user": user },
        body: { from: "a@example.com", to: "shy@scope.example", text: "hi" },
      });
      return (await api.ask("GET", `/message/${json.id}`)).json.messages[0].status;
    };
    assert.deepEqual([await stateFor("shop"), await stateFor("blog")], ["SUPPRESSED", "QUEUED"]);
  });
});

describe("what mail cannot go out by", () => {
  test("DELETE /blacklist clears the blocks it names and leaves the others", async () => {
    const now = Date.now() as EpochMs;
    for (const [address, site] of [
      ["192.0.2.1", "one"],
      ["192.0.2.1", "two"],
      ["192.0.2.2", "two"],
    ] as const) {
      const until = (now + HOUR) as EpochMs;
      await api.backend.limits.block({ address, site, until, createdAt: now, response: "no" });
    }
    const clear = async (query: string) =>
      (await api.ask("DELETE", `/blacklist${query}`)).json.deleted.toSorted();
    assert.deepEqual(await clear("?address=192.0.2.1&domain=two"), ["192.0.2.1 two"]);
    assert.deepEqual(await clear("?domain=none"), []);
    assert.equal((await api.ask("GET", "/blacklist")).json.list.length, 2);
    assert.deepEqual(await clear(""), ["192.0.2.1 one", "192.0.2.2 two"]);
    assert.deepEqual((await api.ask("GET", "/blacklist")).json, { list: [] });
  });

  test("GET /slowed lists the sites that asked for less mail, and DELETE ends it for those it names", async () => {
    const now = Date.now() as EpochMs;
    for (const [name, site] of [
      ["default", "one"],
      ["bulk", "one"],
      ["bulk", "two"],
    ] as const) {
      const pace = { step: 2, raisedAt: now, complainedAt: now, until: (now + HOUR) as EpochMs };
      await api.backend.limits.slow({ zone: name as ZoneName, site, response: "421 slow down", ...pace });
    }
    const slowed = async () => (await api.ask("GET", "/slowed")).json.list;
    const [entry] = (await slowed()).filter(({ id }: { id: string }) => id === "default one");
    assert.deepEqual(
      [entry.zone, entry.domain, entry.step, entry.response],
      ["default", "one", 2, "421 slow down"],
    );
    assert.ok(entry.rate > 0 && Date.parse(entry.until) > now);
    const end = async (query: string) => (await api.ask("DELETE", `/slowed${query}`)).json.deleted.toSorted();
    assert.deepEqual(await end("?zone=Bulk&domain=one"), ["bulk one"]);
    assert.deepEqual(await end("?domain=none"), []);
    assert.equal((await slowed()).length, 2);
    assert.deepEqual(await end(""), ["bulk two", "default one"]);
    assert.deepEqual(await slowed(), []);
    assert.deepEqual(await end(""), [], "what has ended is not ended again");
  });

  test("/skipdomains tells what living workers take no mail for, and /internals shows them", async () => {
    const skipped = async (path: string) => (await api.ask("GET", path)).json;
    assert.deepEqual(await skipped("/skipdomains/default"), { skipDomains: false });
    const now = Date.now() as EpochMs;
    for (const [i, domains] of [["a.example", "b.example"], ["b.example"]].entries()) {
      await api.backend.fleet.beat({
        worker: `worker${i}` as WorkerId,
        hostname: "host",
        pid: i,
        startedAt: now,
        until: (now + HOUR) as EpochMs,
        addresses: [],
        full: [{ zone: "default" as ZoneName, domains }],
      });
    }
    assert.deepEqual(await skipped("/skipdomains/default"), { skipDomains: ["a.example", "b.example"] });
    assert.deepEqual(await skipped("/skipdomains/"), { skipDomains: ["a.example", "b.example"] });
    assert.deepEqual(await skipped("/skipdomains/other"), { skipDomains: false });
    const { status, headers, text } = await api.ask("GET", "/internals");
    assert.equal(status, 200);
    assert.match(headers["content-type"] ?? "", /^text\/plain/);
    assert.match(text, /"worker1"/);
  });
});
