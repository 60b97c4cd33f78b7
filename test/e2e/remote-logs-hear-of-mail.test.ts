/** `log.remote` and `log.gelf` of a relay as it is run: servers of others hear what happens to mail, and mail does not wait for them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";

import { SECOND } from "#shared/domain/units.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { sendByHttp } from "../support/mail-load.ts";
import { httpPeer } from "../support/http-peer.ts";
import { pluginFiles } from "../support/plugin-files.ts";
import { readMsgpack } from "../support/read-msgpack.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import { startUdpReceiver } from "../support/udp-receiver.ts";

const TIMEOUT_MS = 60 * SECOND;
const PATIENCE_MS = 20 * SECOND;

type Entry = Record<string, unknown>;

test(
  "a mail is told of from QUEUED to its end, and a worker's death in GELF",
  { timeout: TIMEOUT_MS },
  async () => {
    await using scratch = await scratchFolder();
    await using mx = await startFakeMx();
    await using logServer = await startUdpReceiver();
    await using graylog = await startUdpReceiver();
    const gelf = {
      enabled: true,
      component: "mta",
      options: { graylogHostname: "127.0.0.1", graylogPort: graylog.port },
    };
    await using relay = await startRelayProcess({
      scratch,
      processes: 1,
      config: {
        zones: { default: { host: "127.0.0.1", port: mx.port } },
        log: { remote: { protocol: "udp4", host: "localhost", port: logServer.port }, gelf },
      },
    });
    const id = await sendByHttp(relay.httpUrl, {
      number: 1,
      returnPath: "a@origin.test",
      id: null,
      recipients: [{ address: "b@probe.test", fate: "DELIVERED" }],
    });
    const entries = (): Entry[] => logServer.datagrams.map((bytes) => readMsgpack(bytes) as Entry);
    const told = async (action: string): Promise<Entry> =>
      eventually(action, PATIENCE_MS, () => entries().find((entry) => entry["action"] === action) ?? null);
    const queued = await told("QUEUED");
    const accepted = await told("ACCEPTED");
    assert.deepEqual([queued["id"], queued["from"], queued["to"]], [id, "a@origin.test", "b@probe.test"]);
    assert.equal(queued["transtype"], "HTTP");
    assert.deepEqual([accepted["id"], accepted["seq"], accepted["to"]], [id, "001", "b@probe.test"]);
    assert.equal(accepted["returnPath"], "a@origin.test");
    assert.match(String(accepted["response"]), /^250 /);
    assert.ok(Number(accepted["size"]) > 0);

    const [victim = 0] = relay.workers().values();
    process.kill(victim, "SIGKILL");
    const messages = (): Entry[] =>
      graylog.datagrams.map((bytes) => JSON.parse(gunzipSync(bytes).toString()) as Entry);
    const died = await eventually(
      "word of the death",
      PATIENCE_MS,
      () => messages().find((one) => String(one["short_message"]).startsWith("MTA [SENDER_EXITED] ")) ?? null,
    );
    assert.deepEqual([died["version"], died["level"], died["_workerPid"]], ["1.1", 3, victim]);
  },
);

test("what plugins say of a mail is told, of one that is refused too", { timeout: TIMEOUT_MS }, async () => {
  await using scratch = await scratchFolder();
  await using logServer = await startUdpReceiver();
  const actions = ["no action", "reject"];
  const symbols = { SOME_TEST: { score: 1.5 } };
  await using rspamd = await httpPeer(() => ({
    status: 200,
    body: JSON.stringify({ action: actions.shift(), score: 1.5, symbols }),
  }));
  await using files = await pluginFiles({
    "note.cjs": `
      module.exports.init = async (app) => {
        app.addHook("message:headers", async (envelope, info) => { info.rwHeaderFrom = "anna"; });
      };`,
  });
  await using relay = await startRelayProcess({
    scratch,
    processes: 1,
    config: {
      pluginsPath: files.folder,
      plugins: {
        note: "receiver",
        "core/rspamd": { enabled: "receiver", interfaces: ["*"], url: rspamd.url },
      },
      log: { remote: { protocol: "udp4", host: "localhost", port: logServer.port } },
    },
  });
  const send = async (): Promise<number> =>
    (
      await fetch(`${relay.httpUrl}/send`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ from: "a@origin.test", to: "b@probe.test", text: "hello" }),
      })
    ).status;
  assert.deepEqual([await send(), await send()], [200, 422]);
  const entries = (): Entry[] => logServer.datagrams.map((bytes) => readMsgpack(bytes) as Entry);
  const told = (action: string, count = 1): Promise<Entry[]> =>
    eventually(action, PATIENCE_MS, () => {
      const found = entries().filter((entry) => entry["action"] === action);
      return found.length >= count ? found : null;
    });
  const checks = await told("SPAMCHECK", 2);
  const [queued] = await told("QUEUED");
  const [refused] = await told("NOQUEUE");
  assert.deepEqual(
    checks.map(({ id, result, score, tests }) => [id, result, score, tests]),
    [
      [queued?.["id"], "no action", 1.5, ["SOME_TEST=1.5"]],
      [refused?.["id"], "reject", 1.5, ["SOME_TEST=1.5"]],
    ],
  );
  for (const entry of [queued, refused])
    assert.deepEqual(
      [entry?.["rwHeaderFrom"], entry?.["score"], entry?.["tests"]],
      ["anna", "1.50", "SOME_TEST=1.5"],
    );
});

test(
  "mail is accepted and delivered when the log servers are not there",
  { timeout: TIMEOUT_MS },
  async () => {
    await using scratch = await scratchFolder();
    await using mx = await startFakeMx();
    await using relay = await startRelayProcess({
      scratch,
      processes: 1,
      config: {
        zones: { default: { host: "127.0.0.1", port: mx.port } },
        log: {
          remote: { host: "no-such-host.invalid" },
          gelf: { enabled: true, options: { graylogHostname: "no-such-host.invalid" } },
        },
      },
    });
    const sent = await sendByHttp(relay.httpUrl, {
      number: 1,
      returnPath: "a@origin.test",
      id: null,
      recipients: [{ address: "b@probe.test", fate: "DELIVERED" }],
    });
    await eventually("the delivery", PATIENCE_MS, () =>
      relay.log.some((line) => line["event"] === "ACCEPTED" && line["messageId"] === sent) ? true : null,
    );
    await eventually("a line on what was dropped", PATIENCE_MS, () =>
      relay.log.some(({ msg, component }) => msg === "datagrams dropped" && component === "remote log")
        ? true
        : null,
    );
  },
);
