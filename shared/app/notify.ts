/**
 * Receivers by HTTP are told of events, in the order of the log, until they answer 2xx. How a request travels is not known here.
 *
 * 1. Each receiver has its own durable position in the log and its own waits: one that is dead delays nobody else.
 * 2. An event is told again after a failure, and after a crash in between: its id shows a double.
 * 3. While a receiver fails, what is older than `GIVE_UP_MS` is skipped and said aloud; so a receiver that comes back after a
 *    week hears of the last day. Where nothing fails nothing is skipped, however long we were down ourselves.
 * 4. A new receiver hears of what happens from now on, not of what the log remembers.
 * 5. An event that cannot be put into words is said aloud and passed over: it would fail each time, and hold up all behind it.
 */

import { createHash } from "node:crypto";

import type { Clock } from "../domain/clock.ts";
import type { EventReceiver } from "../domain/config.ts";
import type { MailEvent, NumberedEvent } from "../domain/event.ts";
import type { WorkerId } from "../domain/ids.ts";
import { bounceForm, noticeOf, signature } from "../domain/notification.ts";
import type { EpochMs } from "../domain/units.ts";
import { HOUR, later, MINUTE, SECOND } from "../domain/units.ts";
import type { ConfigStore } from "../ports/config-store.ts";
import type { EventClaim, EventLog } from "../ports/event-log.ts";
import type { QueueStore } from "../ports/queue-store.ts";

export interface PostRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** `failed`: no answer came, for the reason in `detail`. */
export type PostAnswer = { kind: "answered"; status: number } | { kind: "failed"; detail: string };

/** Sends a request once, in bounded time, and follows no redirect. */
export type Post = (request: PostRequest, signal: AbortSignal) => Promise<PostAnswer>;

/** Once an event is so old, a receiver that fails does not get it any more. */
export const GIVE_UP_MS = 24 * HOUR;
/** The wait after the first failure, doubled with each further one. */
export const FIRST_RETRY_MS = SECOND;
export const MAX_RETRY_MS = 5 * MINUTE;
/** Events in one request of JSON: some hundred KiB at most. */
export const MAX_EVENTS_PER_POST = 100;

const EVENTS_PER_READ = 500;
const POLL_MS = SECOND / 2;
const CLAIM_MS = MINUTE;
/** A claim is renewed when less is left of it: no request lasts longer. */
const CLAIM_MARGIN_MS = 30 * SECOND;
/** While another worker reads for the receiver. */
const CLAIM_RETRY_MS = 5 * SECOND;
/** After a stop a request in flight has so long to end. */
const STOP_PATIENCE_MS = 2 * SECOND;
/** Workers do not start in the same moment, and the first mail may be taken by one that was first. */
const START_MARGIN_MS = 10 * SECOND;

/** Why a receiver is not served now. */
export interface Trouble {
  readonly receiver: EventReceiver;
  /** Failures in a row. */
  readonly failures: number;
  readonly detail: string;
  readonly retryAt: EpochMs;
}

export interface TellDeps {
  readonly post: Post;
  /** Asked for what only a message knows. */
  readonly queue: Pick<QueueStore, "get">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** A fault of ours: the event is not told. */
  readonly onUntellable: (receiver: EventReceiver, event: MailEvent, error: unknown) => void;
}

/** Tell of these events. Null: all were taken. Else why not, and it may be that the first of them were. */
export async function tellReceiver(
  receiver: EventReceiver,
  events: readonly MailEvent[],
  deps: TellDeps,
): Promise<string | null> {
  for (const group of requestsOf(receiver, events)) {
    const body =
      receiver.format === "form" ? await formOf(receiver, group, deps) : jsonOf(receiver, group, deps);
    if (body === null) continue;
    const answer = await deps.post(requestOf(receiver, body, deps.clock.now()), deps.signal);
    if (answer.kind === "failed") return answer.detail;
    if (answer.status < 200 || answer.status > 299) return `it answered ${answer.status}`;
  }
  return null;
}

export function eventsPerPost({ format }: EventReceiver): number {
  return format === "form" ? 1 : MAX_EVENTS_PER_POST;
}

function requestsOf(receiver: EventReceiver, events: readonly MailEvent[]): MailEvent[][] {
  const size = eventsPerPost(receiver);
  return Array.from({ length: Math.ceil(events.length / size) }, (_, i) =>
    events.slice(i * size, (i + 1) * size),
  );
}

/** Null: none of them can be told. */
function jsonOf(receiver: EventReceiver, events: readonly MailEvent[], deps: TellDeps): string | null {
  const notices = events
    .map((event) => inWords(receiver, event, deps, () => noticeOf(event)))
    .filter((notice) => notice !== null);
  return notices.length === 0 ? null : JSON.stringify({ events: notices });
}

/** A form is of one event. */
async function formOf(
  receiver: EventReceiver,
  [event]: readonly MailEvent[],
  deps: TellDeps,
): Promise<string | null> {
  if (!event) return null;
  const stored = await deps.queue.get(event.messageId);
  return inWords(receiver, event, deps, () => bounceForm(event, stored?.message.fbl ?? null));
}

function inWords<Words>(
  receiver: EventReceiver,
  event: MailEvent,
  { onUntellable }: TellDeps,
  compose: () => Words,
): Words | null {
  try {
    return compose();
  } catch (error) {
    onUntellable(receiver, event, error);
    return null;
  }
}

function requestOf({ url, format, secret }: EventReceiver, body: string, now: EpochMs): PostRequest {
  const type = format === "form" ? "application/x-www-form-urlencoded" : "application/json";
  const signed = secret === null ? {} : { "x-zonefleet-signature": signature(body, secret, now) };
  return { url, headers: { "content-type": type, ...signed }, body };
}

export interface NotifierDeps {
  readonly events: EventLog;
  readonly configs: ConfigStore;
  readonly queue: TellDeps["queue"];
  readonly worker: WorkerId;
  readonly clock: Clock;
  readonly post: Post;
  readonly onTrouble: (trouble: Trouble) => void;
  /** So many events were not told, and will not be. */
  readonly onGivenUp: (receiver: EventReceiver, events: number) => void;
  /** The store failed, which is tried again; or an event cannot be told. */
  readonly onError: (error: unknown) => void;
}

/** Tell a receiver of what is in the log until `stop`; of all workers that run this, one does it at a time. */
export async function runNotifier(
  receiver: EventReceiver,
  deps: NotifierDeps,
  stop: AbortSignal,
): Promise<void> {
  const { clock } = deps;
  const over = new AbortController();
  const cut = new AbortController();
  const notifier = notifierOf(receiver, deps, cut.signal);
  const onStop = (): void =>
    void clock.sleep(STOP_PATIENCE_MS, over.signal).then(() => cut.abort(new Error("we stop")));
  stop.addEventListener("abort", onStop, { once: true });
  while (!stop.aborted) {
    const wait = await notifier.step().catch((error: unknown) => {
      deps.onError(error);
      return SECOND;
    });
    await clock.sleep(wait, stop);
  }
  stop.removeEventListener("abort", onStop);
  over.abort();
}

interface Notifier {
  /** Do what can be done now. Resolves with the time to wait before the next. */
  step(): Promise<number>;
}

function notifierOf(receiver: EventReceiver, deps: NotifierDeps, signal: AbortSignal): Notifier {
  const { events: log, clock, worker } = deps;
  const consumer = consumerOf(receiver);
  const startedAt = clock.now();
  const types = new Set(receiver.types);
  let held: { claim: EventClaim; until: EpochMs } | null = null;
  let position = 0;
  let since: EpochMs | null = null;
  let failures = 0;
  /** Read and not told yet. */
  let pending: NumberedEvent[] = [];
  let lastRead = 0;

  function onUntellable(_: EventReceiver, { messageId }: MailEvent, cause: unknown): void {
    deps.onError(new Error(`an event of message ${messageId} cannot be told`, { cause }));
  }

  /** False: another worker reads for this receiver. */
  async function claimed(): Promise<boolean> {
    if (held && clock.now() < later(held.until, -CLAIM_MARGIN_MS)) return true;
    const until = later(clock.now(), CLAIM_MS);
    const claim = await log.claim(consumer, worker, until);
    if (held?.claim.token !== claim?.token) {
      pending = [];
      position = claim?.position ?? 0;
    }
    held = claim && { claim, until };
    return held !== null;
  }

  async function doneUpTo(number: number): Promise<void> {
    if (!held || number <= position) return;
    position = number;
    if (await log.advance(held.claim, number)) return;
    held = null;
    pending = [];
  }

  /** Events that nobody wants are done with as soon as those before them are. */
  function doneButPending(): Promise<void> {
    const [next] = pending;
    return doneUpTo(next ? next.number - 1 : lastRead);
  }

  /** False: there is nothing new in the log. */
  async function readMore(): Promise<boolean> {
    since ??= await beginning(deps, consumer, startedAt);
    const from = since;
    const read = await log.read(position, EVENTS_PER_READ);
    lastRead = read.at(-1)?.number ?? position;
    pending = read.filter(({ type, at }) => types.has(type) && at >= from);
    await doneButPending();
    return read.length > 0;
  }

  /** What is too old for a receiver that fails. */
  async function giveUpOld(): Promise<void> {
    if (failures === 0) return;
    const oldest = later(clock.now(), -GIVE_UP_MS);
    const kept = pending.filter(({ at }) => at > oldest);
    if (kept.length === pending.length) return;
    deps.onGivenUp(receiver, pending.length - kept.length);
    pending = kept;
    await doneButPending();
  }

  async function tell(): Promise<number> {
    const batch = pending.slice(0, eventsPerPost(receiver));
    const detail = await tellReceiver(receiver, batch, { ...deps, signal, onUntellable });
    if (detail === null) {
      failures = 0;
      pending = pending.slice(batch.length);
      await doneButPending();
      return 0;
    }
    failures++;
    const wait = retryWait(failures);
    deps.onTrouble({ receiver, failures, detail, retryAt: later(clock.now(), wait) });
    return wait;
  }

  return {
    async step() {
      if (!(await claimed())) return CLAIM_RETRY_MS;
      if (pending.length === 0 && !(await readMore())) return POLL_MS;
      await giveUpOld();
      return pending.length === 0 ? 0 : tell();
    },
  };
}

/** After so many failures in a row. */
export function retryWait(failures: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), MAX_RETRY_MS);
}

/** A receiver's URL for the log, without what may be a secret. */
export function shownUrl({ url }: EventReceiver): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

/** By what it is told and where, so that it keeps its place when the configuration is put in another order. */
export function consumerOf({ format, url }: EventReceiver): string {
  return `receiver-${createHash("sha256").update(`${format} ${url}`).digest("hex").slice(0, 24)}`;
}

/** When this receiver was seen first, over all workers and starts. */
async function beginning(
  { configs }: Pick<NotifierDeps, "configs">,
  consumer: string,
  startedAt: EpochMs,
): Promise<EpochMs> {
  const kind = "event-receiver";
  const first = { kind, name: consumer, value: { since: later(startedAt, -START_MARGIN_MS) } };
  const document = (await configs.get(kind, consumer)) ?? (await configs.put(first, 0));
  const stored = document ?? (await configs.get(kind, consumer)); // another worker was first
  const value = stored?.value as { since?: unknown } | undefined;
  return (typeof value?.since === "number" ? value.since : 0) as EpochMs;
}
