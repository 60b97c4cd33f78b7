/**
 * The slots of one budget that this process holds: asked for in the store when connections here need more than it has, kept for a
 * moment when they need less, because a slot that is wanted again costs a call.
 *
 * 1. Connections here never have more slots than the store has granted, and none is given out of a lease that may be over.
 * 2. One question at a time goes to the store, for all that wait; after a refusal none does until a time that everybody is told.
 * 3. What nobody here has used between two calls of `tidy` goes back.
 * 4. After a limit went down (`surrender`) each slot in use goes back to the store with its connection, so that all processes come
 *    down to the new limit together; none goes back before, for the peer still counts the connection.
 * 5. After a lease that was over nothing counts as held: slots are given back, as far as nobody took them, and asked for anew.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";

/** `retryAt`: nobody has to ask before. */
export type SlotAnswer = { readonly granted: true } | { readonly granted: false; readonly retryAt: EpochMs };

export interface SlotTerms {
  /** How long slots that nobody uses are kept; 0: they go back at once, as it costs next to nothing to ask again. */
  readonly spareMs: number;
  /** The longest wait after one refusal of many. */
  readonly maxRetryMs: number;
}

export interface SliceDeps {
  readonly limits: LimitStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly holder: WorkerId;
  readonly terms: SlotTerms;
  readonly lease: SlotLease;
}

/** Until when the slots of this process are its own. */
export interface SlotLease {
  /** For slots that are asked for now. */
  next(): EpochMs;
  /** Every slice loses what it held when the lease was over before. */
  extended(until: EpochMs): void;
  /** False: others may have taken what this process had. */
  holds(): boolean;
}

export interface SlotSlice {
  /** A slot for a connection. Rejects when the store does not answer. */
  take(limit: number): Promise<SlotAnswer>;
  /** The connection is closed. */
  putBack(): Promise<void>;
  /** Give back what was not needed since the last time. */
  tidy(): Promise<void>;
  /** Others may have what is held here. */
  lose(): void;
  /** The limit has gone down: give back what is spare now, and what is in use as its connections end. */
  surrender(): void;
  /** True: more is in use than is held, or than may be. */
  readonly isOver: boolean;
  /** True: it holds nothing and knows of no refusal, so that it can be forgotten. */
  readonly isEmpty: boolean;
}

/** After the first refusal; doubled with each one that follows, and up to twice as long by chance. */
const FIRST_RETRY_MS = SECOND / 4;
/** Slots asked for besides those that are needed, as a share of those in use. */
const SPARE_SHARE = 0.25;

interface Waiter {
  readonly limit: number;
  readonly resolve: (answer: SlotAnswer) => void;
  readonly reject: (error: unknown) => void;
}

export function slotSlice(key: string, deps: SliceDeps): SlotSlice {
  const { limits, clock, holder, terms, lease } = deps;
  const waiting: Waiter[] = [];
  let asking = false;
  /** Granted and not given back. */
  let held = 0;
  let used = 0;
  /** The fewest that were spare since the last `tidy`. */
  let spareSinceTidy = 0;
  /** Given up here, and not yet in the store. */
  let returned = 0;
  /** In use and surrendered. */
  let surrendered = 0;
  let refusals = 0;
  let askAt = 0 as EpochMs;

  const keepsSpare = terms.spareMs > 0;

  /** False: there is none to spare here. */
  function takeHeld(): boolean {
    if (!lease.holds()) give(spare()); // whoever has taken them since, it was right to
    if (held <= used) return false;
    used++;
    spareSinceTidy = Math.min(spareSinceTidy, spare());
    return true;
  }

  /** Held and not in use. */
  function spare(): number {
    return Math.max(0, held - used);
  }

  async function ask(): Promise<void> {
    asking = true;
    await Promise.resolve(); // those who ask in this turn are asked for together
    const waiters = waiting.splice(0);
    const besides = keepsSpare ? Math.floor(used * SPARE_SHARE) : 0;
    const limit = Math.min(...waiters.map((waiter) => waiter.limit));
    const until = lease.next();
    try {
      const granted = await limits.acquireSlots(key, {
        holder,
        want: waiters.length + besides,
        limit,
        until,
      });
      lease.extended(until);
      held += granted;
      handOut(waiters);
    } catch (error) {
      for (const { reject } of waiters) reject(error);
    } finally {
      asking = false;
      if (waiting.length > 0) void ask();
    }
  }

  function handOut(waiters: readonly Waiter[]): void {
    const granted = waiters.map(takeHeld);
    if (granted.includes(false)) {
      const longest = Math.min(FIRST_RETRY_MS * 2 ** refusals, terms.maxRetryMs);
      askAt = later(clock.now(), longest * (1 + deps.random()));
      refusals = granted.includes(true) ? 1 : refusals + 1;
    } else refusals = 0;
    waiters.forEach(({ resolve }, i) =>
      resolve(granted[i] === true ? { granted: true } : { granted: false, retryAt: askAt }),
    );
  }

  function give(count: number): void {
    held -= count;
    returned += count;
  }

  async function flush(): Promise<void> {
    const count = returned;
    if (count === 0) return;
    returned = 0;
    try {
      await limits.releaseSlots(key, { holder, count });
    } catch (error) {
      returned += count; // the next `tidy` tries again
      throw error;
    }
  }

  return {
    async take(limit) {
      if (takeHeld()) return { granted: true };
      if (clock.now() < askAt) return { granted: false, retryAt: askAt };
      return new Promise((resolve, reject) => {
        waiting.push({ limit, resolve, reject });
        if (!asking) void ask();
      });
    },

    async putBack() {
      used--;
      const isKept = keepsSpare && surrendered === 0;
      surrendered = Math.max(0, surrendered - 1);
      if (isKept) return;
      give(spare());
      await flush();
    },

    async tidy() {
      give(Math.min(spareSinceTidy, spare()));
      spareSinceTidy = spare();
      await flush();
    },

    lose: () => give(held),

    surrender() {
      give(spare());
      surrendered = used;
    },

    get isOver() {
      return used > held || surrendered > 0;
    },

    get isEmpty() {
      return !asking && held + used + returned === 0 && clock.now() >= askAt;
    },
  };
}
