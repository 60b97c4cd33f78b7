/**
 * Receivers are told of events where these are a stream that is read once (AWS): what a receiver does not take is kept for it in
 * its backlog, and told again from there. The same promises as notify.ts, which says how a request looks:
 *
 * 1. In order for each receiver and message: while a backlog is open, new events go behind what is in it.
 * 2. One that is dead or slow delays the stream once, for `SLOW_MS` and a request, and then nobody: its events go to its backlog.
 * 3. No crash loses an event: the stream gives again what was neither told nor kept, the backlog what was not removed.
 * 4. After a failure, what is older than `GIVE_UP_MS` is given up and said aloud.
 */

import type { Clock } from "../domain/clock.ts";
import type { EventReceiver } from "../domain/config.ts";
import type { MailEvent } from "../domain/event.ts";
import type { EpochMs } from "../domain/units.ts";
import { later, SECOND } from "../domain/units.ts";
import type { BacklogClaim, EventBacklog, KeptEvents, PlacedEvent } from "../ports/event-backlog.ts";
import type { Post, TellDeps, Trouble } from "./notify.ts";
import { consumerOf, eventsPerPost, GIVE_UP_MS, retryWait, tellReceiver } from "./notify.ts";

/** Once a receiver has taken so long of one batch, the rest of it and what comes next go to its backlog. */
export const SLOW_MS = 3 * SECOND;
/** Left for the last request to be answered and to be written down. */
export const RESERVED_MS = 15 * SECOND;
/** Left for the pause to be written down. */
const WRITING_MS = 3 * SECOND;
/** Reads of a backlog in one go: the next one goes on. */
const MAX_READS = 1_000;

export interface StreamNotifierDeps {
  readonly backlog: EventBacklog;
  readonly queue: TellDeps["queue"];
  readonly clock: Clock;
  readonly post: Post;
  readonly signal: AbortSignal;
  readonly onUntellable: TellDeps["onUntellable"];
  readonly onTold: (receiver: EventReceiver, events: number) => void;
  /** They go to the backlog: it is open already, or will be. */
  readonly onKept: (receiver: EventReceiver, events: number) => void;
  readonly onTrouble: (trouble: Trouble) => void;
  /** So many events were not told, and will not be. */
  readonly onGivenUp: (receiver: EventReceiver, events: number) => void;
  /** What was kept is no list of events: a fault of ours. */
  readonly onUnreadable: (receiver: EventReceiver, key: string) => void;
}

/** Tell of what the stream has brought, in bounded time. When it rejects, the stream must give the same again. */
export async function notifyNow(
  receiver: EventReceiver,
  events: readonly PlacedEvent[],
  deps: StreamNotifierDeps,
): Promise<void> {
  const wanted = events.filter(({ event }) => receiver.types.includes(event.type));
  if (wanted.length === 0) return;
  const consumer = consumerOf(receiver);
  const isOpen = await deps.backlog.isOpen(consumer);
  const told = isOpen ? 0 : await tellSome(receiver, wanted, deps);
  const rest = wanted.slice(told);
  if (rest.length === 0) return;
  await deps.backlog.keep(consumer, rest, eventsPerPost(receiver));
  deps.onKept(receiver, rest.length);
}

/** Resolves with how many were told. When these are not all, and when it took long, the backlog is open from now on. */
async function tellSome(
  receiver: EventReceiver,
  wanted: readonly PlacedEvent[],
  deps: StreamNotifierDeps,
): Promise<number> {
  const { backlog, clock } = deps;
  const consumer = consumerOf(receiver);
  const slowAt = later(clock.now(), SLOW_MS);
  let told = 0;
  while (told < wanted.length) {
    const next = wanted.slice(told, told + eventsPerPost(receiver)).map(({ event }) => event);
    const detail = await tellReceiver(receiver, next, deps);
    if (detail !== null) {
      await backlog.open(consumer, failed(receiver, { failures: 1, detail }, deps));
      return told;
    }
    told += next.length;
    deps.onTold(receiver, next.length);
    if (clock.now() < slowAt) continue;
    await backlog.open(consumer, { failures: 0, retryAt: clock.now() });
    return told;
  }
  return told;
}

/** Say it, and when to try again. */
function failed(
  receiver: EventReceiver,
  { failures, detail }: { failures: number; detail: string },
  { clock, onTrouble }: StreamNotifierDeps,
): { failures: number; retryAt: EpochMs } {
  const retryAt = later(clock.now(), retryWait(failures));
  onTrouble({ receiver, failures, detail, retryAt });
  return { failures, retryAt };
}

/**
 * Tell of what was kept for the receiver, if its time has come: until nothing is left, it fails, or `until` is near, when the
 * caller ends. One who is cut off before keeps others away until then, and nothing else comes of it.
 */
export async function notifyAgain(
  receiver: EventReceiver,
  until: EpochMs,
  deps: StreamNotifierDeps,
): Promise<void> {
  const { backlog, clock } = deps;
  const consumer = consumerOf(receiver);
  if (!(await backlog.isOpen(consumer))) return;
  const claim = await backlog.claim(consumer, until);
  if (!claim) return;
  const lastStart = later(until, -RESERVED_MS);
  let { failures } = claim;
  for (let read = 0; read < MAX_READS && clock.now() < lastStart; read++) {
    const kept = await readable(receiver, claim, deps);
    if (kept.length === 0) return backlog.close(claim);
    const { told, detail } = await tellKept(receiver, { claim, kept, lastStart }, deps);
    if (told > 0) failures = 0;
    if (detail === null) continue;
    await giveUpOld(receiver, { claim, until }, deps);
    return backlog.pause(claim, failed(receiver, { failures: failures + 1, detail }, deps));
  }
  await backlog.pause(claim, { failures: 0, retryAt: clock.now() });
}

/** A part of a backlog that can be read. */
type ReadableEvents = KeptEvents & { readonly events: readonly MailEvent[] };

/** The oldest parts; those that nobody can read are said aloud and taken away, for they would stand in the way of all others. */
async function readable(
  receiver: EventReceiver,
  claim: BacklogClaim,
  deps: StreamNotifierDeps,
): Promise<ReadableEvents[]> {
  for (let read = 0; read < MAX_READS; read++) {
    const kept = await deps.backlog.read(claim, null);
    const unreadable = kept.filter(({ events }) => !events);
    for (const { key } of unreadable) deps.onUnreadable(receiver, key);
    await deps.backlog.remove(claim, unreadable);
    if (unreadable.length < kept.length || kept.length === 0) return kept.filter(isReadable);
  }
  return [];
}

function isReadable(kept: KeptEvents): kept is ReadableEvents {
  return kept.events !== null;
}

interface Telling {
  readonly claim: BacklogClaim;
  readonly kept: readonly ReadableEvents[];
  /** No request begins later. */
  readonly lastStart: EpochMs;
}

/** `detail` null: the receiver did not fail. What was told is removed before the next is. */
async function tellKept(
  receiver: EventReceiver,
  { claim, kept, lastStart }: Telling,
  deps: StreamNotifierDeps,
): Promise<{ told: number; detail: string | null }> {
  let told = 0;
  for (const parts of requestsOf(receiver, kept)) {
    if (deps.clock.now() >= lastStart) break;
    const events = parts.flatMap((part) => part.events);
    const detail = await tellReceiver(receiver, events, deps);
    if (detail !== null) return { told, detail };
    await deps.backlog.remove(claim, parts);
    deps.onTold(receiver, events.length);
    told += events.length;
  }
  return { told, detail: null };
}

/** Parts that go into one request. */
function requestsOf(receiver: EventReceiver, kept: readonly ReadableEvents[]): ReadableEvents[][] {
  const most = eventsPerPost(receiver);
  const requests: { parts: ReadableEvents[]; count: number }[] = [];
  for (const part of kept) {
    const count = part.events.length;
    const last = requests.at(-1);
    if (last && last.count + count <= most) {
      last.parts.push(part);
      last.count += count;
    } else requests.push({ parts: [part], count });
  }
  return requests.map(({ parts }) => parts);
}

/** The oldest come first, so it ends where there are none that are too old. What is left to do the next failure does. */
async function giveUpOld(
  receiver: EventReceiver,
  { claim, until }: { claim: BacklogClaim; until: EpochMs },
  deps: StreamNotifierDeps,
): Promise<void> {
  const oldest = later(deps.clock.now(), -GIVE_UP_MS);
  while (deps.clock.now() < later(until, -WRITING_MS)) {
    const kept = await readable(receiver, claim, deps);
    const old = kept.filter(({ events }) => events.every(({ at }) => at <= oldest));
    if (old.length === 0) return;
    await deps.backlog.remove(claim, old);
    deps.onGivenUp(receiver, old.flatMap(({ events }) => events).length);
  }
}
