/**
 * The SQS queue of each zone. A signal says "look at these rows of one message and domain now" and is never truth: one that is
 * lost, late or doubled costs time or a look, not mail. Here are their shape on the wire and calls of up to ten.
 *
 * The message group of a signal is its domain, so that the queue serves domains with little first when one has much (fair
 * queues). A server that knows no groups on such a queue gets signals without.
 */

import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
} from "@aws-sdk/client-sqs";
import type { BatchResultErrorEntry, SendMessageBatchRequestEntry, SQSClient } from "@aws-sdk/client-sqs";
import * as z from "zod";

import type { Domain } from "../domain/address.ts";
import type { Clock } from "../domain/clock.ts";
import { parseMessageId } from "../domain/ids.ts";
import type { MessageId } from "../domain/ids.ts";
import { lineOf } from "../domain/queue-row.ts";
import type { QueueRow } from "../domain/queue-row.ts";
import { HOUR, MINUTE, SECOND } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import { MAX_ROWS_TOGETHER } from "../ports/queue-store.ts";
import { gatherer } from "./gather.ts";
import { queueName } from "./names.ts";

/** Rows of one message and one domain to be looked at. */
export interface Signal {
  readonly zone: ZoneName;
  readonly messageId: MessageId;
  /** That of the rows, or the line that they are in with a way of their own (`lineOf`). */
  readonly domain: Domain;
  /** When the first of them is due. */
  readonly dueAt: EpochMs;
  /** At most `MAX_ROWS_TOGETHER`. */
  readonly seqs: readonly number[];
}

/** A signal that was received and must be deleted or put back, or comes again when it is visible again. */
export interface ReceivedSignal extends Signal {
  /** The same at each time it is received. */
  readonly sqsId: string;
  /** Good until it is received again. */
  readonly receipt: string;
  /** How often it was received, this time included; about. */
  readonly receiveCount: number;
}

export interface ZoneQueues {
  /** Resolves when SQS has it. */
  send(signal: Signal, delayMs: number): Promise<void>;
  /** Up to ten; waits up to `waitMs` for the first, in whole seconds and 20 at most. Aborting it may hide a signal for `hiddenMs`. */
  receive(
    zone: ZoneName,
    options: { waitMs: number; hiddenMs: number; signal: AbortSignal },
  ): Promise<ReceivedSignal[]>;
  /** Its rows need no signal any more. False: it may come again, which is harmless. */
  remove(zone: ZoneName, receipt: string): Promise<boolean>;
  /** It comes again after `delayMs`, to whoever receives then. False: it comes when it would have. */
  hide(zone: ZoneName, receipt: string, delayMs: number): Promise<boolean>;
}

export interface ZoneQueuesDeps {
  readonly sqs: SQSClient;
  /** As in `AwsNames`. */
  readonly queuePrefix: string;
  readonly clock: Clock;
  /** How long a signal to be sent or deleted waits for others; left out: not at all. */
  readonly lingerMs?: number;
  /** A message in a queue that is no signal of ours: it is taken away. */
  readonly onForeign: (zone: ZoneName, body: string) => void;
}

/** The longest that SQS delays a message. */
export const MAX_DELAY_MS = 15 * MINUTE;
/** The longest that SQS hides a message, counted from its receipt. */
export const MAX_HIDDEN_MS = 12 * HOUR;
const MAX_WAIT_MS = 20 * SECOND;
const MAX_ENTRIES = 10;
const MAX_CALLS = 8;
const MAX_GROUP_CHARS = 128;
const MAX_ENTRY_TRIES = 3;
const ENTRY_PAUSE_MS = 50;

const SignalShape = z.looseObject({
  m: z.string(),
  d: z.string(),
  u: z.int(),
  q: z.array(z.int().min(1)).min(1).max(MAX_ROWS_TOGETHER),
});

/** The signals for rows: one for each zone, message and domain, and more where they are many. */
export function signalsOf(rows: readonly QueueRow[]): Signal[] {
  const groups = new Map<string, QueueRow[]>();
  for (const row of rows) {
    const key = `${row.zone} ${row.messageId} ${lineOf(row)}`;
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups.values()].flatMap((group) => {
    const sorted = group.toSorted((a, b) => a.seq - b.seq);
    return Array.from({ length: Math.ceil(sorted.length / MAX_ROWS_TOGETHER) }, (_, i) =>
      signalOf(sorted.slice(i * MAX_ROWS_TOGETHER, (i + 1) * MAX_ROWS_TOGETHER)),
    );
  });
}

function signalOf(rows: readonly QueueRow[]): Signal {
  const first = rows[0] as QueueRow;
  const { zone, messageId } = first;
  const dueAt = Math.min(...rows.map((row) => row.dueAt)) as EpochMs;
  return { zone, messageId, domain: lineOf(first), dueAt, seqs: rows.map(({ seq }) => seq) };
}

/** SQS does not take this signal, and would not take it later. */
export class SignalRefusedError extends Error {
  override readonly name = "SignalRefusedError";
}

interface Entry<Body> {
  readonly zone: ZoneName;
  readonly body: Body;
}

export function zoneQueues(deps: ZoneQueuesDeps): ZoneQueues {
  const { sqs, queuePrefix, onForeign } = deps;
  const urls = new Map<ZoneName, Promise<string>>();
  let knowsGroups = true;

  /** Asked for once, when the zone's queue is first wanted. */
  function urlOf(zone: ZoneName): Promise<string> {
    const known = urls.get(zone);
    if (known) return known;
    const asking = askForUrl(zone);
    urls.set(zone, asking);
    asking.catch(() => urls.delete(zone));
    return asking;
  }

  async function askForUrl(zone: ZoneName): Promise<string> {
    const QueueName = queueName(queuePrefix, zone);
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }));
    if (QueueUrl === undefined) throw new Error(`the queue ${QueueName} has no URL`);
    return QueueUrl;
  }

  const senders = perZone<{ signal: Signal; delayMs: number }>(deps, async (QueueUrl, entries) => {
    const withGroups = knowsGroups;
    const Entries = entries.map(({ signal, delayMs }, i) => entryOf(signal, delayMs, i, withGroups));
    /** To be sent again, without its group this time. */
    const again = (Id: string | undefined): BatchResultErrorEntry => {
      knowsGroups = false;
      return { Id, SenderFault: false, Code: "NoGroups" };
    };
    try {
      const { Failed = [] } = await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
      return Failed.map((failed) =>
        withGroups && isAboutGroups(failed.Message) ? again(failed.Id) : failed,
      );
    } catch (error) {
      if (!withGroups || !(error instanceof Error) || !isAboutGroups(error.message)) throw error;
      return Entries.map(({ Id }) => again(Id));
    }
  });
  const removers = perZone<string>(deps, async (QueueUrl, receipts) => {
    const Entries = receipts.map((ReceiptHandle, i) => ({ Id: String(i), ReceiptHandle }));
    return (await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))).Failed;
  });
  const hiders = perZone<{ receipt: string; delayMs: number }>(
    { ...deps, lingerMs: 0 },
    async (QueueUrl, hidden) => {
      const Entries = hidden.map(({ receipt, delayMs }, i) => ({
        Id: String(i),
        ReceiptHandle: receipt,
        VisibilityTimeout: wholeSeconds(delayMs, MAX_HIDDEN_MS),
      }));
      return (await sqs.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }))).Failed;
    },
  );

  return {
    async send(signal, delayMs) {
      const error = await senders(await urlOf(signal.zone))({ signal, delayMs });
      if (error) throw error;
    },

    async receive(zone, { waitMs, hiddenMs, signal }) {
      const QueueUrl = await urlOf(zone);
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: MAX_ENTRIES,
          WaitTimeSeconds: wholeSeconds(waitMs, MAX_WAIT_MS),
          VisibilityTimeout: wholeSeconds(hiddenMs, MAX_HIDDEN_MS),
          MessageSystemAttributeNames: ["ApproximateReceiveCount"],
        }),
        { abortSignal: signal },
      );
      return Messages.flatMap(
        ({ MessageId: sqsId = "", ReceiptHandle: receipt = "", Body = "", Attributes }) => {
          const read = readSignal(Body);
          if (read)
            return [
              {
                zone,
                ...read,
                sqsId,
                receipt,
                receiveCount: Number(Attributes?.ApproximateReceiveCount ?? 1),
              },
            ];
          onForeign(zone, Body);
          void removers(QueueUrl)(receipt).catch(() => undefined); // else it comes again and is taken away then
          return [];
        },
      );
    },

    async remove(zone, receipt) {
      return (await removers(await urlOf(zone))(receipt)) === null;
    },

    async hide(zone, receipt, delayMs) {
      return (await hiders(await urlOf(zone))({ receipt, delayMs })) === null;
    },
  };
}

/** Gatherers by queue. An entry that SQS failed is sent again; what is the matter with one that never came through is answered. */
function perZone<Body>(
  { clock, lingerMs = 0 }: Pick<ZoneQueuesDeps, "clock" | "lingerMs">,
  call: (url: string, bodies: readonly Body[]) => Promise<BatchResultErrorEntry[] | undefined>,
): (url: string) => (body: Body) => Promise<Error | null> {
  const gatherers = new Map<string, (body: Body) => Promise<Error | null>>();
  const sendAll = async (url: string, bodies: readonly Body[]): Promise<(Error | null)[]> => {
    const answers: (Error | null)[] = bodies.map(() => null);
    let left: Entry<number>["body"][] = bodies.map((_, i) => i);
    for (let tried = 1; ; tried++) {
      const failed = await call(
        url,
        left.map((i) => bodies[i] as Body),
      );
      const again: number[] = [];
      for (const { Id, Code, Message, SenderFault } of failed ?? []) {
        const i = left[Number(Id)];
        if (i === undefined) continue;
        const said = `SQS: ${Code}: ${Message}`;
        if (SenderFault === true) answers[i] = new SignalRefusedError(said);
        else if (tried === MAX_ENTRY_TRIES) answers[i] = new Error(said);
        else again.push(i);
      }
      if (again.length === 0) return answers;
      left = again;
      await clock.sleep(ENTRY_PAUSE_MS * tried);
    }
  };
  return (url) => {
    const known = gatherers.get(url);
    if (known) return known;
    const made = gatherer<Body, Error | null>({
      maxItems: MAX_ENTRIES,
      maxCalls: MAX_CALLS,
      ...(lingerMs > 0 ? { linger: () => clock.sleep(lingerMs) } : {}),
      call: (bodies) => sendAll(url, bodies),
    });
    gatherers.set(url, made);
    return made;
  };
}

function entryOf(
  signal: Signal,
  delayMs: number,
  i: number,
  withGroup: boolean,
): SendMessageBatchRequestEntry {
  const { messageId, domain, dueAt, seqs } = signal;
  return {
    Id: String(i),
    MessageBody: JSON.stringify({ m: messageId, d: domain, u: dueAt, q: seqs }),
    ...(delayMs > 0 ? { DelaySeconds: wholeSeconds(delayMs, MAX_DELAY_MS) } : {}),
    ...(withGroup ? { MessageGroupId: domain.slice(-MAX_GROUP_CHARS) } : {}),
  };
}

/** What the body of a message in a zone's queue says. Null: it is no signal of ours. */
export function readSignal(body: string): Omit<Signal, "zone"> | null {
  const read = SignalShape.safeParse(jsonOf(body));
  const messageId = read.data && parseMessageId(read.data.m);
  if (!read.data || !messageId) return null;
  const { d, u, q } = read.data;
  return { messageId, domain: d as Domain, dueAt: u as EpochMs, seqs: q };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Of the call or of one of its messages. */
function isAboutGroups(message = ""): boolean {
  return /MessageGroupId/i.test(message);
}

/** Rounded up: a signal that comes early finds a row that is not due, and a wait of no second is asked for again and again. */
function wholeSeconds(ms: number, maxMs: number): number {
  return Math.min(Math.ceil(Math.max(0, ms) / SECOND), maxMs / SECOND);
}
