/**
 * Receivers of events (`webhooks`, ZoneMTA's HTTP bounce) are told: of what the table's stream brings at once, and on a schedule of
 * what they have not taken before. Both are Lambdas of their own, so that reports of bounces and the sweep wait for nobody.
 */

import type { DynamoDBBatchResponse, DynamoDBStreamEvent } from "aws-lambda";

import type { Post } from "#shared/app/notify.ts";
import { shownUrl } from "#shared/app/notify.ts";
import type { StreamNotifierDeps } from "#shared/app/notify-stream.ts";
import { notifyAgain, notifyNow } from "#shared/app/notify-stream.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { EventReceiver } from "#shared/domain/config.ts";
import { later, SECOND } from "#shared/domain/units.ts";

import type { RecordReader } from "./events.ts";
import { readEvents } from "./events.ts";
import type { RemainingTime } from "./sweep.ts";
import type { Telemetry } from "./telemetry.ts";

export interface NotifyDeps extends Pick<StreamNotifierDeps, "backlog" | "queue" | "clock" | "post"> {
  /** Their URLs are secrets, and asked for when they are first wanted. */
  readonly receivers: () => Promise<readonly EventReceiver[]>;
  readonly telemetry: Telemetry;
}

/**
 * The stream waits while this runs, so each receiver gets a bounded time (`notifyNow`), all of them at once. What comes again,
 * because the table could not keep what a receiver did not take, comes again to all.
 */
export function notifyHandler(deps: NotifyDeps & RecordReader) {
  const notifying = notifierDeps(deps);
  return async ({ Records }: DynamoDBStreamEvent): Promise<DynamoDBBatchResponse> => {
    const events = Records.flatMap((record) =>
      readEvents(deps, record).map((event) => ({ place: record.dynamodb?.SequenceNumber ?? "", event })),
    );
    if (events.length === 0) return { batchItemFailures: [] };
    const isDone = await allDone(deps, (receiver) => notifyNow(receiver, events, notifying));
    const [first] = events;
    return { batchItemFailures: isDone || !first ? [] : [{ itemIdentifier: first.place }] };
  };
}

/** Every minute. When the table fails, the next invocation goes on. */
export function notifyAgainHandler(deps: NotifyDeps) {
  const notifying = notifierDeps(deps);
  return async (_event: unknown, context: RemainingTime): Promise<void> => {
    const until = later(deps.clock.now(), context.getRemainingTimeInMillis());
    await allDone(deps, (receiver) => notifyAgain(receiver, until, notifying));
  };
}

/** False: for some it failed, which was told. */
async function allDone(
  { receivers, telemetry }: NotifyDeps,
  work: (receiver: EventReceiver) => Promise<void>,
): Promise<boolean> {
  const results = await Promise.all(
    (await receivers()).map((receiver) =>
      work(receiver).then(
        () => true,
        (error: unknown) => {
          telemetry.count("EventsFailed");
          telemetry.log.error({ ...about(receiver), err: error }, "events failed");
          return false;
        },
      ),
    ),
  );
  return results.every((isDone) => isDone);
}

function notifierDeps({ backlog, queue, clock, post, telemetry }: NotifyDeps): StreamNotifierDeps {
  const { count, log } = telemetry;
  return {
    backlog,
    queue,
    clock,
    post: twice(post, clock),
    signal: new AbortController().signal, // every request has a timeout of its own
    onUntellable(receiver, { messageId, type }, error) {
      count("EventsFailed");
      log.error({ ...about(receiver), messageId, type, err: error }, "event not tellable");
    },
    onTold: (_, events) => count("EventsTold", events),
    onKept: (_, events) => count("EventsKept", events),
    onTrouble({ receiver, failures, detail, retryAt }) {
      const fields = { ...about(receiver), failures, detail, retryAt: new Date(retryAt).toISOString() };
      log.warn(fields, "event receiver failed");
    },
    onGivenUp(receiver, events) {
      count("EventsGivenUp", events);
      log.error(
        { ...about(receiver), events },
        "events given up: the receiver has not taken them for too long",
      );
    },
    onUnreadable(receiver, key) {
      count("EventsFailed");
      log.error({ ...about(receiver), key }, "kept events not readable");
    },
  };
}

function about(receiver: EventReceiver): { component: string; receiver: string } {
  return { component: "events", receiver: shownUrl(receiver) };
}

/** A request that broke off sooner has not met a receiver that is slow. */
const QUICK_MS = SECOND;

/** A Lambda stands still between invocations, and finds out by a failure that its connection was closed meanwhile. */
function twice(post: Post, clock: Clock): Post {
  return async (request, signal) => {
    const quickUntil = later(clock.now(), QUICK_MS);
    const answer = await post(request, signal);
    return answer.kind === "failed" && clock.now() < quickUntil ? post(request, signal) : answer;
  };
}
