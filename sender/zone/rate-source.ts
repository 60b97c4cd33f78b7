/**
 * The permits of one rate, for all lanes of this process that keep to it; the rate itself is the LimitStore's, for all processes.
 *
 * R1 One question at a time goes to the store, for all that wait. So a rate of thousands costs some hundred calls, and no lane asks
 *    before there can be a permit.
 * R2 Who waits is served in turn.
 * R3 What the peer sees keeps to the rate, as well as what is begun here. A mail that takes longer than others comes nearer to the
 *    one a period later, so the period is made longer by as much as the times from a permit to the end of its mail differed
 *    lately: by thousandths for a peer that is near, and never by more than `SLACK_SHARE` or `SHORT_SLACK_MS`.
 * R4 Permits that nobody uses at once are kept for `KEPT_MS`, and are lost then: a late permit would be a mail too many.
 */

import type { Clock } from "#shared/domain/clock.ts";
import { evenly } from "#shared/domain/throttle.ts";
import type { Rate } from "#shared/domain/throttle.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";

/** Permits of one time, the oldest of them. */
export interface Permits {
  readonly count: number;
  readonly at: EpochMs;
}

export interface RateSource {
  /** Nobody gets a permit before; in the past: there may be one. */
  readonly openAt: EpochMs;
  /** Permits that may be asked for besides those that are needed: as many as there are in some thousandths of a second. */
  readonly ahead: number;
  /** Wait for 1 to `want` permits; 0 after `stop`. */
  take(want: number, stop: AbortSignal): Promise<Permits>;
  /** 0 to `want` permits, without a wait for the next. */
  tryTake(want: number): Promise<Permits>;
  /** They were not used. */
  putBack(permits: Permits): void;
  /** A mail begins with permits of that time; to be called when it has ended. */
  begin(at: EpochMs): () => void;
}

export interface RateSourceDeps {
  readonly limits: Pick<LimitStore, "takeBudget">;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

interface Waiter {
  readonly want: number;
  readonly patient: boolean;
  readonly resolve: (permits: Permits) => void;
}

const AHEAD_MS = 10;
const KEPT_MS = 20;
/** After a store that did not answer. */
const NO_ANSWER_RETRY_MS = SECOND;
/** What mails that take longer than others may add to the period: a fortieth, and where that is little a quarter of a second. */
const SLACK_SHARE = 1 / 40;
const SHORT_SLACK_MS = SECOND / 4;
/** So many mails tell how short one is; after fewer the next may take no time at all. */
const MAILS_TO_TELL = 10;

export function rateSource(key: string, rate: Rate, deps: RateSourceDeps): RateSource {
  const { limits, clock, onError } = deps;
  const part = evenly(rate);
  const slack = slackOf(rate, clock);
  const waiters: Waiter[] = [];
  let stock: Permits = { count: 0, at: 0 as EpochMs };
  let openAt = 0 as EpochMs;
  let serving = false;
  /** Ends the wait for the next permit when nobody waits for it any more. */
  let wait = new AbortController();

  function fresh(): Permits {
    if (clock.now() >= later(stock.at, KEPT_MS)) stock = { count: 0, at: clock.now() };
    return stock;
  }

  function add({ count, at }: Permits): void {
    const { count: there, at: since } = fresh();
    stock = { count: there + count, at: there > 0 && since < at ? since : at };
  }

  function handOut(): void {
    while (waiters.length > 0 && fresh().count > 0) {
      const { want, resolve } = waiters.shift() as Waiter;
      const count = Math.min(want, stock.count);
      resolve({ count, at: stock.at });
      stock = { count: stock.count - count, at: stock.at };
    }
    if (waiters.length === 0) wait.abort();
  }

  function dismiss(isMeant: (waiter: Waiter) => boolean): void {
    for (const waiter of waiters.filter(isMeant)) {
      waiters.splice(waiters.indexOf(waiter), 1);
      waiter.resolve({ count: 0, at: clock.now() });
    }
    if (waiters.length === 0) wait.abort();
  }

  async function ask(): Promise<void> {
    const at = clock.now(); // before the answer: the permits may have been granted at any time since
    const want = waiters.reduce((sum, waiter) => sum + waiter.want, 0);
    const perMs = Math.ceil(part.perMs * (1 + slack.ms() / rate.perMs));
    try {
      const answer = await limits.takeBudget(`throttle ${key}`, { want, rate: { count: part.count, perMs } });
      openAt = answer.retryAt;
      add({ count: answer.granted, at });
    } catch (error) {
      openAt = later(clock.now(), NO_ANSWER_RETRY_MS);
      onError(error);
    }
  }

  /** R1. */
  async function serve(): Promise<void> {
    serving = true;
    await Promise.resolve(); // those who ask in this turn are asked for together
    while (waiters.length > 0) {
      await ask();
      handOut();
      dismiss(({ patient }) => !patient);
      if (waiters.length === 0) break;
      wait = new AbortController();
      await clock.sleep(Math.max(1, openAt - clock.now()), wait.signal);
    }
    serving = false;
  }

  function enqueue(waiter: Waiter): void {
    waiters.push(waiter);
    if (!serving) void serve().catch(onError);
  }

  function held(want: number): Permits | null {
    if (waiters.length > 0 || fresh().count === 0) return null;
    const count = Math.min(want, stock.count);
    stock = { count: stock.count - count, at: stock.at };
    return { count, at: stock.at };
  }

  return {
    get openAt() {
      return openAt;
    },

    ahead: Math.floor((rate.count * AHEAD_MS) / rate.perMs),

    async take(want, stop) {
      const there = held(want);
      if (there) return there;
      if (stop.aborted) return { count: 0, at: clock.now() };
      return new Promise((resolve) => {
        const leave = (): void => dismiss((other) => other === waiter);
        const waiter: Waiter = {
          want,
          patient: true,
          resolve(permits) {
            stop.removeEventListener("abort", leave);
            resolve(permits);
          },
        };
        stop.addEventListener("abort", leave, { once: true });
        enqueue(waiter);
      });
    },

    async tryTake(want) {
      const there = held(want);
      if (there) return there;
      if (clock.now() < openAt) return { count: 0, at: clock.now() };
      return new Promise((resolve) => enqueue({ want, patient: false, resolve }));
    },

    putBack(permits) {
      if (permits.count === 0) return;
      add(permits);
      handOut();
    },

    begin: slack.begin,
  };
}

/** R3: how much the times from a permit to the end of its mail differ, in the last period or two. */
function slackOf({ perMs }: Rate, clock: Clock): { ms: () => number; begin: (at: EpochMs) => () => void } {
  const maxSlackMs = Math.max(perMs * SLACK_SHARE, SHORT_SLACK_MS);
  const inFlight = new Set<{ readonly at: EpochMs }>();
  let since = clock.now();
  let lately: Spread = NOTHING;
  let before: Spread = NOTHING;

  function turn(): void {
    const now = clock.now();
    if (now < later(since, perMs)) return;
    before = now < later(since, 2 * perMs) ? lately : NOTHING;
    lately = NOTHING;
    since = now;
  }

  return {
    ms() {
      turn();
      const [oldest] = inFlight;
      const going = oldest ? clock.now() - oldest.at : 0;
      const tells = lately.mails + before.mails >= MAILS_TO_TELL;
      const shortest = tells ? Math.min(lately.shortest, before.shortest) : 0;
      return Math.min(maxSlackMs, Math.max(lately.longest, before.longest, going) - shortest);
    },
    begin(at) {
      const mail = { at };
      inFlight.add(mail);
      return () => {
        turn();
        inFlight.delete(mail);
        const ms = clock.now() - at;
        lately = {
          mails: lately.mails + 1,
          shortest: Math.min(lately.shortest, ms),
          longest: Math.max(lately.longest, ms),
        };
      };
    },
  };
}

interface Spread {
  readonly mails: number;
  readonly shortest: number;
  readonly longest: number;
}

const NOTHING: Spread = { mails: 0, shortest: Number.POSITIVE_INFINITY, longest: 0 };
