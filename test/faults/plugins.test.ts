/** Plugins in the program as it is run: under load, with large mail, through reloads, and with what they leave behind. */

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { MIB, SECOND } from "#shared/domain/units.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { startLoad } from "../support/mail-load.ts";
import { pluginFiles } from "../support/plugin-files.ts";
import { allFinal, wrongFates } from "../support/relay-api.ts";
import { eventually, peakMemoryBytes, scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const TIMEOUT_MS = 120 * SECOND;
const PATIENCE_MS = 60 * SECOND;
/** As users of ZoneMTA write them. */
const COMMUNITY = join(import.meta.dirname, "../data/plugins");
const MAILS = 20;
const ATTACHMENT_MIB = 10;
/** All of the attachments are 200 MiB, and 270 in base64. A worker that has taken nothing has about 120. */
const MAX_WORKER_BYTES = 400 * MIB;

async function sendLarge(smtpPort: number, number: number, block: string): Promise<number> {
  using talker = await SmtpTalker.ready(smtpPort);
  await talker.sayAll(`MAIL FROM:<sender@origin.test>`, `RCPT TO:<large-${number}@probe.test>`, "DATA");
  talker.write(
    [
      `Subject: large ${number}`,
      "MIME-Version: 1.0",
      'Content-Type: multipart/mixed; boundary="b"',
      "",
      "--b",
      "Content-Type: text/plain; charset=utf-8",
      "",
      "text",
      "--b",
      'Content-Type: application/octet-stream; name="large.bin"',
      'Content-Disposition: attachment; filename="large.bin"',
      "Content-Transfer-Encoding: base64",
      "",
      "",
    ].join("\r\n"),
  );
  for (let part = 0; part < ATTACHMENT_MIB; part++) await talker.writeAll(block);
  talker.write("--b--\r\n.\r\n");
  return (await eventually("the reply", PATIENCE_MS, () => talker.reply().catch(() => null))).code;
}

test(
  `${MAILS} mails of ${ATTACHMENT_MIB} MiB at once go past rewriters and readers with flat memory`,
  { timeout: TIMEOUT_MS },
  async (t) => {
    await using mx = await startFakeMx();
    await using scratch = await scratchFolder();
    const config = {
      zones: { default: { host: "127.0.0.1", port: mx.port } },
      pluginsPath: COMMUNITY,
      plugins: { footer: "receiver", "block-attachments": "receiver" },
    };
    await using relay = await startRelayProcess({ scratch, config });
    const block = `${Buffer.alloc(57, "attached").toString("base64")}\r\n`.repeat(Math.ceil(MIB / 57));
    const numbers = Array.from({ length: MAILS }, (_, i) => i);
    const codes = await Promise.all(numbers.map((number) => sendLarge(relay.smtpPort, number, block)));
    assert.deepEqual(new Set(codes), new Set([250]));
    const peaks = await Promise.all([...relay.workers().values()].map(peakMemoryBytes));
    const shown = peaks.map((bytes) => Math.round((bytes ?? 0) / MIB)).join(" and ");
    t.diagnostic(`most memory of the workers: ${shown} MiB`);
    for (const bytes of peaks) assert.ok((bytes ?? 0) < MAX_WORKER_BYTES, `${shown} MiB`);
    await allFinal(relay.httpUrl, PATIENCE_MS);
    assert.equal(mx.mails.length, MAILS);
    for (const { body } of mx.mails)
      assert.match(body.subarray(0, 2_000).toString(), /Example GmbH, K=C3=B6ln/);
  },
);

test("SIGHUP under load takes plugins up anew and loses no mail", { timeout: TIMEOUT_MS }, async () => {
  await using mx = await startFakeMx();
  await using scratch = await scratchFolder();
  const zone = { host: "127.0.0.1", port: mx.port, deferTimes: [200, 500, 1_000, 2_000] };
  const config = {
    zones: { default: zone, bounces: zone, campaigns: zone },
    pluginsPath: COMMUNITY,
    plugins: {
      footer: "receiver",
      "rewrite-from": "receiver",
      "block-attachments": "receiver",
      "route-by-header": { enabled: "receiver", zone: "campaigns" },
      "rate-per-user": { enabled: "receiver", limit: 1_000_000 },
    },
  };
  await using relay = await startRelayProcess({ scratch, config });
  let reloads = 0;
  relay.onLog(({ msg }) => {
    if (msg === "configuration reloaded") reloads++;
  });
  await using load = startLoad({ doors: () => relay, smtpClients: 2, httpClients: 2, enough: 100_000 });
  await load.reached(40);
  for (let count = 1; count <= 2; count++) {
    relay.signal("SIGHUP");
    await eventually(`reload ${count}`, PATIENCE_MS, () => (reloads >= count ? true : null));
    await load.reached(load.acknowledged().length + 40);
  }
  await load.stop();
  assert.deepEqual(load.failures, []);
  await allFinal(relay.httpUrl, PATIENCE_MS);
  assert.deepEqual(await wrongFates(relay.httpUrl, load.acknowledged()), []);
});

test(
  "what a plugin leaves running keeps neither a reload nor the end waiting",
  { timeout: TIMEOUT_MS },
  async () => {
    await using mx = await startFakeMx();
    await using scratch = await scratchFolder();
    await using files = await pluginFiles({
      "leaky.js": `
      import { createServer } from "node:net";
      export async function init(app) {
        setInterval(() => undefined, 1_000);
        createServer().listen(0, "127.0.0.1");
        process.on("SIGTERM", () => undefined);
        for (const name of ["log:entry", "queue:release", "sender:delivered", "sender:connection"])
          app.addHook(name, () => new Promise(() => undefined));
      }`,
    });
    const config = {
      zones: { default: { host: "127.0.0.1", port: mx.port } },
      pluginsPath: files.folder,
      plugins: { leaky: { enabled: true, hookTimeout: 3_600_000 } },
    };
    await using relay = await startRelayProcess({ scratch, config, processes: 1 });
    const killed: string[] = [];
    let reloaded = false;
    relay.onLog(({ msg, signal }) => {
      if (msg === "configuration reloaded") reloaded = true;
      if (signal === "SIGKILL") killed.push(msg);
    });
    using talker = await SmtpTalker.ready(relay.smtpPort);
    assert.equal((await talker.mail()).code, 250);
    await mx.waitFor(1);
    relay.signal("SIGHUP");
    await eventually("the reload", PATIENCE_MS, () => (reloaded ? true : null));
    relay.signal("SIGTERM");
    assert.deepEqual(await relay.ended, { code: 0, signal: null });
    assert.deepEqual(killed, []);
  },
);

/** Where a plugin does its worst, once for each; the recipient names the hook. */
const WORST_IN = {
  taken: ["api:mail", "envelope.to[0]"],
  fetch: ["sender:fetch", "envelope.recipient"],
  delivered: ["sender:delivered", "envelope.recipient"],
  error: ["sender:responseError", "envelope.recipient"],
  entry: ["log:entry", "envelope.action === 'ACCEPTED' && envelope.to"],
} as const;

/** Null: it was not taken. */
async function send(httpUrl: string, name: string): Promise<true | null> {
  const to = name === "error" ? `550-rcpt@error.test` : `${name}@probe.test`;
  const response = await fetch(`${httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ from: "sender@origin.test", to, subject: name, text: "hello" }),
    signal: AbortSignal.timeout(20 * SECOND), // whoever is cut off in the queue of a dead worker's socket
  }).catch(() => null);
  return response?.status === 200 ? true : null;
}

for (const [what, how, deaths] of [
  ["ends the process", "process.exit(1)", Object.keys(WORST_IN).length],
  ["throws where nobody catches it", "setImmediate(() => { throw new Error('too late'); })", 0],
  ["leaves a promise to reject", "void Promise.reject(new Error('too late'))", 0],
  ["blocks the process for two seconds", "for (const end = Date.now() + 2000; Date.now() < end; );", 0],
] as const)
  test(`mail is neither lost nor sent twice when a hook ${what}`, { timeout: TIMEOUT_MS }, async () => {
    await using mx = await startFakeMx();
    await using scratch = await scratchFolder();
    const hooks = Object.entries(WORST_IN).map(
      ([name, [hook, to]]) => `
          app.addHook("${hook}", async (envelope) => {
            if (String(${to}).includes("${name}") && isFirst("${name}")) ${how}
          });`,
    );
    await using files = await pluginFiles({
      "deadly.mjs": `
          import { writeFileSync } from "node:fs";
          function isFirst(name) {
            try {
              writeFileSync(new URL(name + ".done", import.meta.url), "", { flag: "wx" });
              return true;
            } catch {
              return false;
            }
          }
          export async function init(app) {${hooks.join("")}
          }`,
    });
    const config = {
      zones: { default: { host: "127.0.0.1", port: mx.port } },
      pluginsPath: files.folder,
      plugins: { deadly: true },
    };
    await using relay = await startRelayProcess({ scratch, config, processes: 1 });
    let died = 0;
    let blamed = 0;
    relay.onLog(({ msg, plugin }) => {
      if (msg === "worker died") died++;
      if (msg === "plugin has thrown where nobody catches it" && plugin === "deadly") blamed++;
    });
    const names = Object.keys(WORST_IN);
    // One at a time: a mail that is under way while another's hook ends the process may rightly come twice.
    for (const name of names) {
      await eventually(`${name} is taken`, PATIENCE_MS, () => send(relay.httpUrl, name));
      await eventually(`the worst of ${name}`, PATIENCE_MS, async () =>
        (await readdir(files.folder)).includes(`${name}.done`) ? true : null,
      );
      await eventually("the worker after it", PATIENCE_MS, async () =>
        (await fetch(`${relay.httpUrl}/healthz`).catch(() => null))?.ok === true ? true : null,
      );
      await allFinal(relay.httpUrl, PATIENCE_MS);
    }
    const got = mx.mails.map(({ recipients }) => recipients.join().split("@")[0] ?? "");
    const wanted = names.filter((name) => name !== "error");
    assert.deepEqual(got.filter((name) => wanted.includes(name)).toSorted(), wanted.toSorted());
    assert.equal(died, deaths);
    if (how.includes("too late")) assert.equal(blamed, names.length);
  });
