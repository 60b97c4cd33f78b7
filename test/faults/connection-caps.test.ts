/**
 * The cap of a relay as the receiver's system counts it, while workers are replaced and killed. (The receiver itself hears of a
 * connection that has ended only after it has heard of the next one.)
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import { startLoad } from "../support/mail-load.ts";
import { allFinal } from "../support/relay-api.ts";

const TIMEOUT_MS = 120 * SECOND;
const PATIENCE_MS = 40 * SECOND;
const CAP = 3;
const MAILS = 200;
/** What the receiver takes for a mail: so long that connections are wanted all the time. */
const MAIL_MS = 10;

test(
  "a receiver never has more connections than the cap, over worker processes, in a reload and when one is killed",
  {
    timeout: TIMEOUT_MS,
    skip: process.platform === "linux" ? false : "asks Linux for the connections there are",
  },
  async (t) => {
    await using mx = await startFakeMx();
    let most = 0;
    mx.rules.connect = () => {
      most = Math.max(most, connectionsAt(mx.port));
      return { do: "accept" };
    };
    mx.rules.message = async () => {
      await systemClock.sleep(MAIL_MS);
      return { do: "accept" };
    };
    await using scratch = await scratchFolder();
    const zone = {
      host: "127.0.0.1",
      port: mx.port,
      connections: CAP,
      connectionCache: { reuseCount: 5 },
      deferTimes: [500, 500, 1_000, 5_000],
    };
    const config = { zones: { default: zone }, plugins: { "core/email-bounce": { enabled: false } } };
    const relay = await startRelayProcess({ scratch, config });
    try {
      let reloaded = false;
      relay.onLog(({ msg }) => (reloaded ||= msg === "configuration reloaded"));
      await using load = startLoad({ doors: () => relay, smtpClients: 3, httpClients: 0, enough: MAILS });
      await load.reached(MAILS / 4);
      await rewrite(scratch.folder);
      relay.signal("SIGHUP");
      await eventually("the reload", PATIENCE_MS, () => (reloaded ? true : null));
      await load.reached((MAILS * 3) / 4);
      const pid = [...relay.workers().values()].at(-1) ?? 0; // the newest: others have left since the reload
      process.kill(pid, "SIGKILL");
      await load.done;
      await eventually("an answer", PATIENCE_MS, () =>
        fetch(relay.httpUrl).then(
          () => true,
          () => null,
        ),
      ); // not from the dead
      await allFinal(relay.httpUrl, PATIENCE_MS);
    } finally {
      await relay.killAll();
    }
    t.diagnostic(`${mx.counts.opened} connections, ${most} at once`);
    assert.ok(mx.mails.length >= MAILS / 4);
    assert.equal(most, CAP, "the cap is used, and kept");
  },
);

/** Columns of /proc/net/tcp: number, local and remote address in hex, state. */
const CONNECTION = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F:]+ ([0-9A-F]{2}) /gm;
/**
 * Established. One that the relay has ended counts no more, though the receiver may not have looked yet: that is for as long as the
 * machine is busy, and would make the time of this process decide.
 */
const ESTABLISHED = "01";

/** Those of the receiver that listens there. */
function connectionsAt(port: number): number {
  const all = [...readFileSync("/proc/net/tcp", "utf8").matchAll(CONNECTION)];
  return all.filter(([, at = "", state = ""]) => Number.parseInt(at, 16) === port && state === ESTABLISHED)
    .length;
}

/** So that there is something to take up. */
async function rewrite(folder: string): Promise<void> {
  const file = join(folder, "zonefleet.config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as { name?: string };
  await writeFile(file, JSON.stringify({ ...config, name: "Second" }));
}
