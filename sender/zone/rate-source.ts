/**
 * The permits of one rate, for all lanes of this process that keep to it; the rate itself is the LimitStore's, for all processes.
 *
 * R1 A mail has its permit when its connection is ready to begin it, so that a connection that takes long to open moves no
 *    mail nearer to others. Who is ready is served in turn.
 * R2 Permits are reserved a little ahead, and one question at a time goes to the store: nobody waits for an answer at the moment
 *    when his permit is due, and a rate of thousands costs some calls a second.
 * R3 The rate that is asked for is lower by `MARGIN_SHARE`. So much of a period mails may differ in the time they take, and the peer
 *    never sees more than the rate. For what differs more, those wait that this process sends a period later (seen-lately.ts), and
 *    as far as others send them the permits are put off (lateness.ts).
 * R4 A connection is kept ready, or opened, when its permit is near (`LEAD_MS`), and as few as are needed: the others may carry
 *    mail that does not wait. A lane that may not begin is told when it may.
 * R5 A permit that nobody uses at its time is lost soon after, since a late one may be a mail too many; one that waits for room at
 *    the peer (R3) is kept a little longer, as then it is not.
 */

import type { Clock } from "#shared/domain/clock.ts";
import { MAX_AHEAD_MS } from "#shared/domain/rate-schedule.ts";
import type { Rate } from "#shared/domain/throttle.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";
import { latenessOf } from "./lateness.ts";
import { seenLately } from "./seen-lately.ts";

/** Permits that somebody has. */
export interface Permits {
  readonly count: number;
  /** To be called when the mail that began with them has ended. */
  readonly ended: (end: MailEnd) => void;
}

/** `seenAt`: when the peer saw it, taking those that are fastest on its way to be seen as they begin. */
export type MailEnd = { readonly isTaken: true; readonly seenAt: EpochMs } | { readonly isTaken: false };

export interface RateSource {
  /** May one more mail be made ready? If not, `onPlace` is called once when that may be. */
  hasPlace(onPlace: () => void): boolean;
  /** A mail is being made ready, on a connection that is open or on a new one; to be called when it asks for its permit, or will not. */
  coming(connection: "open" | "new"): () => void;
  /**
   * Wait for 1 to `want` permits; 0: after `stop`, or because there is none for a while. `urgent`: before all others, for a mail that
   * has permits of a narrower rate, which must not lose their distance.
   */
  take(want: number, stop: AbortSignal, order?: "in turn" | "urgent"): Promise<Permits>;
}

export interface RateSourceDeps {
  readonly limits: Pick<LimitStore, "takeBudget">;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

interface Waiter {
  readonly want: number;
  readonly resolve: (permits: Permits) => void;
}

const NONE: Permits = { count: 0, ended: () => undefined };
const MARGIN_SHARE = 0.012;
const LEAD_MS = SECOND;
/** Connections that are ready beyond the next one: what a timer that is late, or a burst of permits, can use at once. */
const READY_MS = 20;
const READY_ANYWAY = 2;
/** Who would have to wait for longer than this with an open connection comes again: no peer keeps an idle one for ever. */
const PATIENCE_MS = 10 * SECOND;
/** A permit of the past counts for so long, as far as that is no longer than to the next, and in any case for the second. */
const USED_LATE_MS = SECOND / 10;
const USED_LATE_ANYWAY_MS = SECOND / 50;
/** After a store that did not answer. */
const NO_ANSWER_RETRY_MS = SECOND;
const MAX_RESERVED = 500;

export function rateSource(key: string, rate: Rate, deps: RateSourceDeps): RateSource {
  const { limits, clock, onError } = deps;
  const marginMs = rate.perMs * MARGIN_SHARE;
  const asked: Rate = { count: rate.count, perMs: Math.ceil(rate.perMs + marginMs) };
  const everyMs = asked.perMs / asked.count;
  const aheadMs = Math.min(MAX_AHEAD_MS, rate.perMs / 4);
  const usedLateMs = Math.max(USED_LATE_ANYWAY_MS, Math.min(2 * everyMs, Math.max(marginMs, USED_LATE_MS)));
  const heldLateMs = Math.max(usedLateMs, 2 * everyMs, aheadMs);
  const maxReady = READY_ANYWAY + Math.ceil(READY_MS / everyMs);
  const lateness = latenessOf(asked, { clock, marginMs });
  const seen = seenLately(rate, clock);
  const waiters: Waiter[] = [];
  const comers = new Set<{ readonly since: EpochMs; readonly connection: "open" | "new" }>();
  const listeners = new Set<() => void>();
  /** When permits were used lately, in the time for which they are reserved ahead. */
  let used: EpochMs[] = [];
  let reserved: EpochMs[] = [];
  /** Permits up to this time were due when the peer had seen as many mails as it may. */
  let heldUpTo = 0 as EpochMs;
  /** As the store said last: the first permit that nobody has. */
  let nextAt = 0 as EpochMs;
  let asking = false;
  /** The store has not answered. */
  let silentUntil = 0 as EpochMs;
  let timer: { readonly at: EpochMs; readonly stop: AbortController } | null = null;

  function forgetOld(): void {
    const now = clock.now();
    const lostUpTo = Math.min(heldUpTo, now - heldLateMs);
    seen.lost(reserved.filter((at) => at <= lostUpTo).length);
    reserved = reserved.filter((at) => at > now - (at <= heldUpTo ? heldLateMs : usedLateMs));
    used = used.filter((at) => at > now - aheadMs).slice(-MAX_RESERVED);
    for (const comer of comers) if (comer.since <= now - LEAD_MS) comers.delete(comer);
  }

  /** How many permits are due, and may be used. */
  function due(): number {
    const now = clock.now();
    const first = reserved.findIndex((at) => at > now);
    const count = first === -1 ? reserved.length : first;
    const room = seen.room();
    if (room < count && waiters.length > 0) heldUpTo = reserved[count - 1] as EpochMs;
    return Math.min(room, count);
  }

  function handOut(): void {
    for (let count = due(); count > 0 && waiters.length > 0; count = due()) {
      const { want, resolve } = waiters.shift() as Waiter;
      const permits = reserved.splice(0, Math.min(want, count));
      for (let i = 0; i < permits.length; i++) used.push(clock.now());
      resolve({ count: permits.length, ended: begin(permits) });
    }
  }

  function begin(permits: readonly EpochMs[]): Permits["ended"] {
    const ended = lateness.begin(permits[0] as EpochMs);
    const wasSeen = seen.begin(permits.length);
    return (end) => {
      if (!end.isTaken) return; // the peer counts what it took
      ended(end.seenAt);
      wasSeen(end.seenAt);
      if (lateness.owedMs > 0) turn();
    };
  }

  function sendAway(): void {
    for (const { resolve } of waiters.splice(0)) resolve(NONE);
  }

  /** R2: as many as wait, or twice as many as were used in as long a time. */
  function missing(): number {
    const wanted = waiters.reduce((sum, { want }) => sum + want, 0);
    return Math.min(MAX_RESERVED, Math.max(wanted, 2 * used.length)) - reserved.length;
  }

  /** Not for each single one. */
  function wantsMore(): boolean {
    return waiters.length > 0 && missing() > 0 && missing() >= reserved.length;
  }

  /** Nor before half of the time for which permits are reserved is free. */
  function askAt(): EpochMs {
    return later(nextAt, -aheadMs / 2);
  }

  async function ask(): Promise<void> {
    asking = true;
    const laterMs = lateness.owedMs;
    const want = waiters.length > 0 ? Math.max(0, missing()) : 0;
    try {
      const request = { want, rate: asked, aheadMs, laterMs };
      const { permits, retryAt } = await limits.takeBudget(`throttle ${key}`, request);
      lateness.paid(laterMs);
      reserved.push(...permits);
      nextAt = retryAt;
    } catch (error) {
      silentUntil = later(clock.now(), NO_ANSWER_RETRY_MS);
      onError(error);
    }
    asking = false;
    turn();
  }

  function turn(): void {
    forgetOld();
    handOut();
    const now = clock.now();
    const mustAsk = lateness.owedMs > 0 || (wantsMore() && now >= askAt());
    if (!asking && now >= silentUntil && mustAsk) void ask().catch(onError);
    if (!asking && reserved.length === 0 && nextAt > now + PATIENCE_MS) sendAway();
    tell();
    wakeAt(nextTurnAt());
  }

  function nextTurnAt(): EpochMs {
    const times: number[] = [];
    if (waiters.length > 0) times.push(Math.max(seen.roomAt(), reserved[0] ?? Number.POSITIVE_INFINITY));
    if (!asking && wantsMore()) times.push(Math.max(askAt(), silentUntil));
    if (listeners.size > 0) times.push(Math.max(placeAt(), later(clock.now(), everyMs / 2)));
    return Math.min(...times, Number.POSITIVE_INFINITY) as EpochMs;
  }

  function wakeAt(at: EpochMs): void {
    if (timer?.at === at) return;
    timer?.stop.abort();
    timer = null;
    if (at === Number.POSITIVE_INFINITY) return;
    const mine = { at, stop: new AbortController() };
    timer = mine;
    void clock
      .sleep(Math.max(1, at - clock.now()), mine.stop.signal)
      .then(() => {
        if (timer !== mine) return;
        timer = null;
        turn();
      })
      .catch(onError);
  }

  /** R4: when one more mail would be made ready in time. */
  function placeAt(): EpochMs {
    const now = clock.now();
    const first = Math.max(now, reserved[0] ?? nextAt);
    return later(first as EpochMs, (waiters.length + comers.size) * everyMs - LEAD_MS);
  }

  function mayBeReady(): boolean {
    const opened = [...comers].filter(({ connection }) => connection === "open").length;
    return waiters.length + opened < maxReady && placeAt() <= clock.now();
  }

  /** Those who ask again and are refused come last the next time. */
  function tell(): void {
    for (const listener of listeners) {
      if (!mayBeReady()) return;
      listeners.delete(listener);
      listener();
    }
  }

  return {
    hasPlace(onPlace) {
      forgetOld();
      if (mayBeReady()) return true;
      listeners.add(onPlace);
      wakeAt(nextTurnAt());
      return false;
    },

    coming(connection) {
      const comer = { since: clock.now(), connection };
      comers.add(comer);
      return () => void comers.delete(comer);
    },

    take(want, stop, order = "in turn") {
      if (stop.aborted) return Promise.resolve(NONE);
      return new Promise((resolve) => {
        const leave = (): void => {
          const at = waiters.indexOf(waiter);
          if (at !== -1) waiters.splice(at, 1);
          waiter.resolve(NONE);
        };
        const waiter: Waiter = {
          want,
          resolve(permits) {
            stop.removeEventListener("abort", leave);
            resolve(permits);
          },
        };
        stop.addEventListener("abort", leave, { once: true });
        if (order === "urgent") waiters.unshift(waiter);
        else waiters.push(waiter);
        turn();
      });
    },
  };
}
