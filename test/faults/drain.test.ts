/** SIGTERM and SIGINT: what is in flight ends well, what has not begun is sent after the next start, and nothing is sent twice. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { sendBySmtp, startLoad } from "../support/mail-load.ts";
import type { Probe } from "../support/mail-load.ts";
import { allFinal, messageView } from "../support/relay-api.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const TIMEOUT_MS = 100 * SECOND;
const DRAIN_LIMIT_MS = 30 * SECOND;
const PATIENCE_MS = 30 * SECOND;
const SLOW_MS = 2 * SECOND;

/** What a client may hear of a relay that ends: 421, 503, or the end of the connection. */
const REFUSAL =
  /^(?:421 4\.3\.2 |closed while a reply was due|fetch failed: |\{"error":.*"code":"(?:unavailable|shutting-down)")/;

function relayZone(mx: FakeMx) {
  return { host: "127.0.0.1", port: mx.port, connections: 3, deferTimes: [500, 500, 1_000, 5_000] };
}

async function submit(relay: RelayProcess, recipient: string): Promise<string> {
  const talker = await SmtpTalker.ready(relay.smtpPort);
  const probe: Probe = {
    number: 0,
    returnPath: "sender@origin.test",
    recipients: [{ address: recipient, fate: "DELIVERED" }],
    id: null,
  };
  const id = await sendBySmtp(talker, probe);
  talker.destroy();
  return id;
}

test(
  "SIGTERM under load ends with nothing lost and nothing sent twice",
  { timeout: TIMEOUT_MS },
  async (t) => {
    await using mx = await startFakeMx({ lateMs: SLOW_MS });
    await using scratch = await scratchFolder();
    const options = { scratch, config: { zones: { default: relayZone(mx), bounces: relayZone(mx) } } };
    let relay = await startRelayProcess(options);
    try {
      const before = relay;
      await using load = startLoad({ doors: () => relay, smtpClients: 3, httpClients: 2, enough: 100_000 });
      await load.reached(150);
      mx.rules.message = async () => {
        await systemClock.sleep(50); // the clients are faster than this: there will be a backlog
        return { do: "accept" };
      };
      await load.reached(300);
      delete mx.rules.message;
      const slow = await submit(relay, "slow@probe.test");
      await eventually("the slow mail", PATIENCE_MS, () =>
        mx.said.includes("DATA slow@probe.test") ? true : null,
      );
      const asked = Date.now();
      relay.signal("SIGTERM");
      assert.deepEqual(await relay.ended, { code: 0, signal: null });
      const tookMs = Date.now() - asked;
      assert.ok(tookMs < DRAIN_LIMIT_MS, `took ${tookMs} ms`);
      await relay.allGone();
      await load.stop();
      const sentBefore = mx.mails.length;
      assert.ok(
        mx.mails.some(({ recipients }) => recipients.includes("slow@probe.test")),
        "what was in flight has been finished",
      );
      relay = await startRelayProcess(options);
      await allFinal(relay.httpUrl, PATIENCE_MS);
      const acknowledged = load.acknowledged();
      t.diagnostic(
        `ended after ${tookMs} ms; ${acknowledged.length} mails acknowledged, ${sentBefore} sent before the end, ` +
          `${mx.mails.length - sentBefore} after the next start; refusals: ${[...new Set(load.failures)].join(" | ")}`,
      );
      assert.ok(mx.mails.length > sentBefore, "there was a backlog");
      const got = mx.mails.flatMap(({ recipients }) => recipients).toSorted();
      assert.deepEqual(got, [...new Set(got)], "nothing came twice");
      const missing = acknowledged
        .flatMap(({ recipients }) => recipients.filter(({ fate }) => fate === "DELIVERED"))
        .filter(({ address }) => !got.includes(address));
      assert.deepEqual(missing, []);
      assert.equal((await messageView(relay.httpUrl, slow))?.messages[0]?.attempts, 1);
      for (const failure of load.failures) assert.match(failure, REFUSAL);
      assert.notEqual(relay.pid, before.pid);
    } finally {
      await relay.killAll();
    }
  },
);

test(
  "a second SIGTERM ends at once, and the mail that was in flight is sent after the next start",
  { timeout: TIMEOUT_MS },
  async (t) => {
    await using mx = await startFakeMx();
    await using scratch = await scratchFolder();
    const options = { scratch, config: { zones: { default: relayZone(mx) } } };
    mx.rules.message = () => ({ do: "silence" });
    let relay = await startRelayProcess(options);
    try {
      const id = await submit(relay, "anna@probe.test");
      await eventually("the mail", PATIENCE_MS, () =>
        mx.said.includes("DATA anna@probe.test") ? true : null,
      );
      relay.signal("SIGTERM");
      await eventually("a word on the screen", PATIENCE_MS, () =>
        /Stopping/.test(relay.screen()) ? true : null,
      );
      assert.equal(
        await Promise.race([relay.ended, systemClock.sleep(SECOND)]),
        undefined,
        "it waits for the peer",
      );
      const asked = Date.now();
      relay.signal("SIGTERM");
      assert.deepEqual(await relay.ended, { code: 1, signal: null });
      await relay.allGone();
      t.diagnostic(`ended after ${Date.now() - asked} ms`);
      assert.ok(Date.now() - asked < 5 * SECOND);
      delete mx.rules.message;
      relay = await startRelayProcess(options);
      await allFinal(relay.httpUrl, PATIENCE_MS);
      assert.equal((await messageView(relay.httpUrl, id))?.messages[0]?.status, "DELIVERED");
      assert.equal(mx.mails.length, 1);
    } finally {
      await relay.killAll();
    }
  },
);

test(
  "npm start passes a SIGTERM on, and ends when the relay has",
  { timeout: TIMEOUT_MS, skip: spawnSync("npm", ["--version"]).status === 0 ? false : "there is no npm" },
  async () => {
    await using mx = await startFakeMx({ lateMs: SLOW_MS });
    await using scratch = await scratchFolder();
    await using relay = await startRelayProcess({
      scratch,
      config: { zones: { default: relayZone(mx) } },
      command: ["npm", "start"],
    });
    await submit(relay, "slow@probe.test");
    await eventually("the mail", PATIENCE_MS, () => (mx.said.includes("DATA slow@probe.test") ? true : null));
    relay.signal("SIGTERM"); // to npm alone, as a process manager sends it
    assert.deepEqual(await relay.ended, { code: 0, signal: null });
    await relay.allGone();
    assert.equal(mx.mails.length, 1, "what was in flight has been finished");
  },
);

test(
  "one Ctrl-C in a terminal, which npm passes on a second time, drains and does not cut off",
  { timeout: TIMEOUT_MS },
  async () => {
    await using mx = await startFakeMx({ lateMs: SLOW_MS });
    await using scratch = await scratchFolder();
    await using relay = await startRelayProcess({
      scratch,
      config: { zones: { default: relayZone(mx) } },
      env: { npm_lifecycle_event: "start" },
    });
    await submit(relay, "slow@probe.test");
    await eventually("the mail", PATIENCE_MS, () => (mx.said.includes("DATA slow@probe.test") ? true : null));
    process.kill(-relay.pid, "SIGINT"); // the terminal, to all processes
    await systemClock.sleep(20); // or the two would be one for the kernel already
    relay.signal("SIGINT"); // npm
    assert.deepEqual(await relay.ended, { code: 0, signal: null });
    assert.equal(mx.mails.length, 1, "what was in flight has been finished");
  },
);

test(
  "SIGTERM with a peer that never answers cuts it off and ends within 30 seconds",
  { timeout: TIMEOUT_MS, skip: process.env["FAULT_SLOW"] === "1" ? false : "takes 25 s: set FAULT_SLOW=1" },
  async (t) => {
    await using mx = await startFakeMx({ rules: { message: () => ({ do: "silence" }) } });
    await using scratch = await scratchFolder();
    await using relay = await startRelayProcess({ scratch, config: { zones: { default: relayZone(mx) } } });
    await submit(relay, "anna@probe.test");
    await eventually("the mail", PATIENCE_MS, () => (mx.said.includes("DATA anna@probe.test") ? true : null));
    const asked = Date.now();
    relay.signal("SIGTERM");
    assert.deepEqual(await relay.ended, { code: 0, signal: null });
    t.diagnostic(`ended after ${Date.now() - asked} ms`);
    assert.ok(Date.now() - asked < DRAIN_LIMIT_MS);
    await relay.allGone();
  },
);
