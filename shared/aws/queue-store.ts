/**
 * The queue on DynamoDB and SQS: messages and rows in the one table (keys.ts, row-item.ts), a queue of signals for each zone.
 * Here the parts are put together.
 *
 * D1  The row is the truth, a signal never is. Whatever is taken is read first and leased with a condition on what was read.
 * D2  A mail to one recipient, delivered at the first try, is one item and 5 write units: put and index entry, lease, settle and
 *     the end of the index entry. A lease and its renewal touch no index. Over 1 KiB the item costs a unit more for each write.
 * D3  Calls are shared: 25 writes, 100 reads, 10 signals a call, by whatever asks at the same time (gather.ts).
 * D4  Time is the clock's, and never DynamoDB's or SQS's: their delays only say when to look.
 */

import type { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import type { SQSClient } from "@aws-sdk/client-sqs";

import type { Clock } from "../domain/clock.ts";
import type { MessageId } from "../domain/ids.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { QueueStore } from "../ports/queue-store.ts";
import type { ZoneBacklog } from "../ports/zone-backlog.ts";
import { itemWriter, statementCheck } from "./batch-statement.ts";
import type { TakesStatements } from "./batch-statement.ts";
import { beside } from "./beside.ts";
import type { BodyRef } from "./body-store.ts";
import { messageKey } from "./keys.ts";
import { acceptMessage } from "./queue-accept.ts";
import { itemsSetAside } from "./queue-aside.ts";
import { backlogReader } from "./queue-backlog.ts";
import { inTurns, itemReader, leaseBook, messageOf, ticketBook } from "./queue-context.ts";
import type { QueueBodies, QueueContext, QueueTrouble, SignalsOfNewMail } from "./queue-context.ts";
import { historyEnd, readMessage } from "./queue-finish.ts";
import { countRows, listRows } from "./queue-list.ts";
import { operateRows } from "./queue-operate.ts";
import { releaseRows, renewLeases, settleRows } from "./queue-settle.ts";
import { queueSweeper } from "./queue-sweep.ts";
import { queueTaker } from "./queue-take.ts";
import { bodyRefOfItem } from "./row-item.ts";
import { zoneQueues } from "./signals.ts";
import { signalStreamed } from "./stream-signals.ts";
import type { SignalStreamed } from "./stream-signals.ts";

export interface DynamoQueueStoreDeps {
  readonly dynamo: DynamoDBClient;
  readonly sqs: SQSClient;
  readonly table: string;
  readonly queuePrefix: string;
  /** All that mail is accepted for, each with its queue; lists and counts are of these. */
  readonly zones: readonly ZoneName[];
  readonly bodies: QueueBodies;
  readonly clock: Clock;
  /** How long messages are kept when all their rows are final. */
  readonly historyMs: number;
  /** Left out: this process sends the signals of the mail that it accepts. */
  readonly signals?: SignalsOfNewMail;
  /** How long a signal waits for others, in a process that lives on; left out: nothing is left to do when a call has resolved. */
  readonly lingerMs?: number;
  /** For jitter: 0 to 1. */
  readonly random?: () => number;
  /** For tests, which count calls; left out: the server is asked. */
  readonly takesStatements?: TakesStatements;
  /** What went wrong beside the mail's way. `signal-not-sent` for minutes is worth an alarm: mail waits for the sweep. */
  readonly onTrouble: (trouble: QueueTrouble) => void;
}

export interface DynamoQueueStore extends QueueStore {
  /** Which body a message was accepted with: what the body store reads when it does not know. Null: no such message, or none. */
  readBodyRef(id: MessageId): Promise<BodyRef | null>;
  /** Send the signals that new mail has left to the reader of the stream (stream-signals.ts). */
  readonly signalStreamed: SignalStreamed;
  /** What waits in each zone, for metrics (queue-backlog.ts). */
  backlog(): Promise<ZoneBacklog[]>;
  /** Waiting takes end empty, and signals that were received and not used go to others at once. */
  stop(): Promise<void>;
}

export function dynamoQueueStore(deps: DynamoQueueStoreDeps): DynamoQueueStore {
  const context = contextOf(deps);
  const taker = queueTaker(context);
  const sweeper = queueSweeper(context);
  const backlog = backlogReader(context);
  return {
    accept: (message, rows) => acceptMessage(context, message, rows),
    take: (request) => taker.take(request),
    leave: (zone, domains) => taker.leave(zone, domains),
    renew: (leases, until) => renewLeases(context, leases, until),
    settle: (settlements) => settleRows(context, settlements),
    release: (leases, dueAt) => releaseRows(context, leases, dueAt),
    operate: (operation, ids) => operateRows(context, operation, ids),
    list: (query) => listRows(context, query),
    counts: () => countRows(context),
    sweep: () => sweeper.sweep(),
    signalStreamed: (records) => signalStreamed(context, records),
    backlog: () => backlog.read(),
    async stop() {
      await taker.stop();
      await context.beside.end();
    },

    async readBodyRef(id) {
      const item = await context.read(messageKey(id));
      return item && bodyRefOfItem(item);
    },

    messages: (ids) => inTurns(ids, async (id) => messageOf(context, await context.read(messageKey(id)))),

    async get(id) {
      const stored = await readMessage(context, id);
      if (!stored) return null;
      const { message, rows } = stored;
      const end = historyEnd(rows, context.historyMs);
      return end === null || end > context.clock.now() ? { message, rows } : null;
    },
  };
}

function contextOf(deps: DynamoQueueStoreDeps): QueueContext {
  const { dynamo, sqs, table, queuePrefix, zones, clock, onTrouble } = deps;
  const { random = Math.random, lingerMs = 0, signals = "own" } = deps;
  const tableDeps = { dynamo, table, clock, random };
  const write = itemWriter(tableDeps, deps.takesStatements ?? statementCheck(tableDeps));
  const work = beside({ livesOn: lingerMs > 0 });
  return {
    ...tableDeps,
    zones,
    signals,
    queues: zoneQueues({
      sqs,
      queuePrefix,
      clock,
      lingerMs,
      onForeign: (zone, body) => onTrouble({ kind: "foreign-signal", zone, body }),
    }),
    bodies: deps.bodies,
    historyMs: deps.historyMs,
    write,
    read: itemReader(tableDeps),
    leases: leaseBook(),
    tickets: ticketBook(),
    beside: work,
    setAside: itemsSetAside({
      write,
      beside: work,
      clock,
      onSetAside: (error) => onTrouble({ kind: "unreadable", error }),
    }),
    onTrouble,
  };
}
