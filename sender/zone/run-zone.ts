/**
 * The loop of one zone in one process: take rows that are due, find out where they go, put them in the lane of their site.
 * It holds a bounded number of rows, never waits for one destination, and goes on when the store comes back from an outage.
 */

import type { Domain } from "#shared/domain/address.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import type { QueueStore, Taken } from "#shared/ports/queue-store.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Lanes } from "./lanes.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";
import { lookups } from "./lookups.ts";
import type { Lookups } from "./lookups.ts";

export interface ZoneDeps {
  readonly zone: Zone;
  readonly queue: QueueStore;
  readonly clock: Clock;
  readonly worker: WorkerId;
  readonly leaseMs: number;
  readonly keeper: LeaseKeeper;
  readonly lanes: Lanes;
  /** False: this host has no address to send from, and others have. */
  readonly hasEgress: () => boolean;
  /** Told before each take of which domains no mail is taken. */
  readonly onFull: (full: ReadonlySet<Domain> | "all") => void;
  /** Find the way of what was taken and put it in its lane; it does not throw. */
  readonly dispatch: Dispatch;
  /** `listener` replaces the one before; it is called when a lane that was full is not any more. */
  readonly onRoom: (listener: () => void) => void;
  readonly onError: (error: unknown) => void;
}

/** Rows held at once, waiting or in flight: some thousand connections' worth, a few KiB each. */
const MAX_HELD_ROWS = 10_000;
const ROWS_PER_TAKE = 200;
const ROWS_OF_DOMAIN_PER_TAKE = 50;
const TAKE_WAIT_MS = 5 * SECOND;
const ROOM_POLL_MS = SECOND / 20;
const TIDY_MS = SECOND / 2;
/** While this host has no address to send from. */
const AWAY_POLL_MS = SECOND;
/** After the store failed. */
const STORE_RETRY_MS = SECOND;

/** Deliver a zone until `stop`, then finish what is in flight and give back the rest. */
export async function runZone(deps: ZoneDeps, stop: AbortSignal): Promise<void> {
  const looking = lookups();
  const done = new AbortController();
  const background = Promise.all([deps.keeper.run(done.signal), tidyLanes(deps, done.signal)]);
  while (!stop.aborted) {
    const taken = await takeSome(deps, looking, stop);
    for (const group of taken) {
      deps.keeper.hold(group.leases);
      looking.add(group, deps.dispatch(group));
    }
  }
  const { queue, zone } = deps;
  queue.leave?.(zone.name, "all");
  await deps.lanes.drain(); // at once: to find the way of the rest may take as long as a silent name server is waited for
  await looking.finished();
  // Its slots go to others when it has ended, so its connections have to be closed by then; QUIT is not waited for long.
  while (deps.keeper.size > 0 || deps.lanes.areConnected()) {
    queue.leave?.(zone.name, "all"); // what a poll that was under way has brought
    await deps.clock.sleep(SECOND / 20); // bounded by the caller's grace, which ends the process
  }
  done.abort();
  await background;
}

/** The next rows, or none when a wait is over, room was made meanwhile, or the store is down. */
async function takeSome(deps: ZoneDeps, looking: Lookups, stop: AbortSignal): Promise<readonly Taken[]> {
  const { zone, keeper, lanes, queue, worker, leaseMs } = deps;
  const wake = new AbortController();
  const abort = (): void => wake.abort();
  stop.addEventListener("abort", abort, { once: true });
  try {
    const room = MAX_HELD_ROWS - keeper.size;
    if (!deps.hasEgress()) {
      queue.leave?.(zone.name, "all"); // again and again: a poll under way may have brought more
      await deps.clock.sleep(AWAY_POLL_MS, wake.signal);
      return [];
    }
    const full = lanes.fullDomains();
    const starved = lanes.starvedDomains();
    if (starved === "all" || starved.size > 0) queue.leave?.(zone.name, starved);
    deps.onFull(full);
    if (room <= 0) {
      await deps.clock.sleep(ROOM_POLL_MS, wake.signal);
      return [];
    }
    if (full === "all" || full.size > 0) deps.onRoom(abort);
    if (full === "all") {
      await deps.clock.sleep(TAKE_WAIT_MS, wake.signal);
      return [];
    }
    const crowded = looking.crowded();
    if (crowded.size > 0) looking.onRoom(abort);
    return await queue.take({
      zone: zone.name,
      worker,
      max: Math.min(room, ROWS_PER_TAKE),
      maxPerDomain: ROWS_OF_DOMAIN_PER_TAKE,
      avoid: crowded.size > 0 ? new Set([...full, ...crowded]) : full,
      leaseMs,
      waitMs: TAKE_WAIT_MS,
      signal: wake.signal,
    });
  } catch (error) {
    deps.onError(error);
    await deps.clock.sleep(STORE_RETRY_MS, stop);
    return [];
  } finally {
    deps.onRoom(() => undefined);
    looking.onRoom(() => undefined);
    stop.removeEventListener("abort", abort);
  }
}

async function tidyLanes({ clock, lanes }: ZoneDeps, done: AbortSignal): Promise<void> {
  while (!done.aborted) {
    await clock.sleep(TIDY_MS, done);
    lanes.tidy();
  }
}
