/**
 * The promise under kill -9: what was acknowledged, by SMTP, LMTP or HTTP, comes to its end, and a mail comes twice at most once for
 * each connection that was open. The moments are random: `FAULT_SEED=n` repeats a run's plan of kills (the machine does the rest).
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { FakeMail, FakeMx } from "../support/fake-mx.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import type { Load } from "../support/mail-load.ts";
import { startLoad } from "../support/mail-load.ts";
import { seeded } from "../support/chance.ts";
import { allFinal, wrongFates } from "../support/relay-api.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";

const TIMEOUT_MS = 120 * SECOND;
/** After the last mail was acknowledged. */
const PATIENCE_MS = 40 * SECOND;
const MAILS = Number(process.env["FAULT_MAILS"] ?? 1_500);
const WORKER_KILLS = 4;
const SEED = Number(process.env["FAULT_SEED"] ?? Math.floor(Math.random() * 1_000_000));

test(
  "no acknowledged mail is lost when workers and the whole relay are killed under load",
  { timeout: TIMEOUT_MS },
  async (t) => {
    const random = seeded(SEED);
    t.diagnostic(`FAULT_SEED=${SEED}`);
    await using mx = await startFakeMx();
    await using scratch = await scratchFolder();
    const relayZone = {
      host: "127.0.0.1",
      port: mx.port,
      connections: 8,
      deferTimes: [500, 500, 1_000, 5_000],
    };
    const door = { host: "127.0.0.1", port: 0 };
    const smtpInterfaces = { feeder: door, lmtp: { ...door, lmtp: true } };
    const options = {
      scratch,
      config: { smtpInterfaces, zones: { default: relayZone, bounces: relayZone } },
    };
    let relay = await startRelayProcess(options);
    try {
      await using load = startLoad({
        doors: () => relay,
        smtpClients: 3,
        lmtpClients: 2,
        httpClients: 2,
        enough: MAILS,
      });
      let allowed = 0;
      for (let kill = 1; kill <= WORKER_KILLS; kill++) {
        await load.reached(Math.floor((MAILS * (kill - random())) / (WORKER_KILLS + 2)));
        allowed += await killOneWorker(relay, mx, random);
      }
      await load.reached(Math.floor((MAILS * (WORKER_KILLS + random())) / (WORKER_KILLS + 2)));
      allowed += mx.counts.open;
      await relay.killAll();
      relay = await startRelayProcess(options);
      await load.done;
      await allFinal(relay.httpUrl, PATIENCE_MS);
      const doubles = doublesIn(mx.mails);
      const acknowledged = load.acknowledged();
      t.diagnostic(
        `${load.probes.length} mails submitted, ${acknowledged.length} acknowledged, ${mx.mails.length} taken by the receiver, ` +
          `${doubles} of them doubles; ${allowed} connections were lost at ${WORKER_KILLS + 1} kills`,
      );
      assert.ok(acknowledged.length >= MAILS);
      assert.deepEqual(new Set(acknowledged.map(({ door }) => door)), new Set(["SMTP", "LMTP", "HTTP"]));
      assert.deepEqual(await wrongFates(relay.httpUrl, acknowledged), []);
      assertReceived(mx, load);
      assert.ok(doubles <= allowed, `${doubles} doubles, and ${allowed} connections were lost at the kills`);
    } finally {
      await relay.killAll();
    }
  },
);

/** Returns how many connections the receiver lost. Resolves when another worker is in the place of the dead one. */
async function killOneWorker(relay: RelayProcess, mx: FakeMx, random: () => number): Promise<number> {
  await systemClock.sleep(random() * 100);
  const pids = await eventually("two workers", 20 * SECOND, () =>
    relay.workers().size === 2 ? [...relay.workers().values()] : null,
  );
  const pid = pids[Math.floor(random() * pids.length)] as number;
  const before = relay.workersEver();
  const { open, opened } = mx.counts;
  process.kill(pid, "SIGKILL");
  await eventually("a new worker", 20 * SECOND, () => (relay.workersEver() > before ? true : null));
  return open + (mx.counts.opened - opened) - mx.counts.open;
}

/** Transactions with a recipient that had the mail before. */
function doublesIn(mails: readonly FakeMail[]): number {
  const seen = new Set<string>();
  let doubles = 0;
  for (const { recipients } of mails) {
    if (recipients.some((recipient) => seen.has(recipient))) doubles++;
    for (const recipient of recipients) seen.add(recipient);
  }
  return doubles;
}

/** What the receiver has: each delivered recipient of what was acknowledged, a report for each bounce, and nothing unheard of. */
function assertReceived({ mails }: FakeMx, load: Load): void {
  const got = new Set(mails.flatMap(({ recipients }) => recipients));
  const missing = load.acknowledged().flatMap(({ returnPath, recipients }) => {
    const bounced = recipients.some(({ fate }) => fate === "BOUNCED");
    const delivered = recipients.filter(({ fate }) => fate === "DELIVERED").map(({ address }) => address);
    return [...delivered, ...(bounced ? [returnPath] : [])].filter((address) => !got.has(address));
  });
  assert.deepEqual(missing, []);
  const known = new Set(
    load.probes.flatMap(({ returnPath, recipients }) => [
      returnPath,
      ...recipients.map(({ address }) => address),
    ]),
  );
  assert.deepEqual(
    [...got].filter((address) => !known.has(address)),
    [],
  );
}
