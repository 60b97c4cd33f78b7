/** How the parts of a zone go together: what holds for it as a whole, on a real store. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { openZone } from "../../../sender/zone/open-zone.ts";
import type { SenderDeps } from "../../../sender/zone/open-zone.ts";
import { acceptMail, embeddedBackend } from "../../support/backend.ts";
import { anna } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { eventually } from "../../support/relay-process.ts";
import { silentObserver } from "../../support/silent-observer.ts";

const config = parseConfig({ zones: { a: {} } }, { source: null, baseDir: "/" });
const zone = config.zones.get("a" as Zone["name"]) as Zone;
const PATIENCE_MS = 10 * SECOND;

/** A sender whose slots are all with other processes. */
function starved(backend: SenderDeps["backend"], clock: FakeClock): SenderDeps {
  return {
    config,
    backend,
    clock,
    random: () => 0.5,
    worker: anna,
    addresses: { placeOf: () => null },
    resolve: async () => ({ ok: true, site: "mx.one.example", hosts: [] }),
    stsOf: async () => null,
    signer: { sign: () => assert.fail("nothing is sent") },
    settle: () => assert.fail("nothing is settled"),
    slots: {
      acquire: async () => ({ granted: false, retryAt: clock.in(MINUTE) }),
      release: async () => undefined,
      isOver: () => false,
      surrender: () => undefined,
    },
    blocked: {
      refresh: async () => undefined,
      block: async () => undefined,
      isBlocked: () => false,
      size: 0,
    },
    idleEgress: { leaveOut: () => assert.fail("nothing is connected"), isLeftOut: () => false },
    slowed: {
      refresh: async () => undefined,
      slowDown: async () => undefined,
      paceOf: () => ({ step: 0, takePermit: () => assert.fail("no permit is needed") }),
    },
    observer: silentObserver,
    plugins: null,
    connectOptions: {},
    sandbox: null,
    onFull: () => undefined,
    onConnections: () => undefined,
    onError: (what, error) => assert.fail(`${what}: ${String(error)}`),
  };
}

describe("a zone", { timeout: 30 * SECOND }, () => {
  test("does not end before the rows that a lane gives back are in the store", async () => {
    const clock = fakeClock();
    await using store = await embeddedBackend(clock);
    const { queue } = store.backend;
    const written = Promise.withResolvers<void>();
    let released = 0;
    const slow: typeof queue = {
      ...queue,
      async release(leases, dueAt) {
        released += leases.length;
        await written.promise;
        return queue.release(leases, dueAt);
      },
    };
    await acceptMail(store.backend, clock);
    const stop = new AbortController();
    let ended = false;
    const running = openZone(zone, starved({ ...store.backend, queue: slow }, clock), {
      stop: stop.signal,
      grace: new AbortController().signal,
    }).then(() => (ended = true));
    await eventually("a lane without a slot", PATIENCE_MS, () => (released > 0 ? true : null));
    stop.abort();
    await clock.advance(SECOND);
    assert.equal(ended, false);
    written.resolve();
    await eventually("the end of the zone", PATIENCE_MS, async () => {
      await clock.advance(SECOND);
      return ended ? true : null;
    });
    await running;
    const [counts] = await queue.counts();
    assert.equal(counts?.queued, 1);
    assert.equal(counts.leased, 0);
  });
});
