/**
 * The events in order, and how far each consumer has read. The queue store writes events; here they are read and purged.
 *
 * An event is kept for as long as history is, and longer while a consumer has not read it: a webhook that was down for a week
 * loses nothing. A consumer that nobody has claimed for `FORGOTTEN_MS` is gone, and holds nothing back.
 */

import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import type { NumberedEvent } from "../domain/event.ts";
import { DAY } from "../domain/units.ts";
import type { EventLog } from "../ports/event-log.ts";
import type { EmbeddedDatabase, TableKey } from "./database.ts";
import { eventOf } from "./queue-tables.ts";
import type { QueueTables } from "./queue-tables.ts";

const FORGOTTEN_MS = 30 * DAY;
/** Events forgotten in one call. */
const MAX_PURGED = 5_000;

export interface EmbeddedEventLog extends EventLog {
  /** Number of the last event that every known consumer is done with. */
  readByAll(): number;
  /** Forget events older than `keepMs` that every consumer has read; some thousands a call. */
  purge(keepMs: number): Promise<number>;
}

/** All that a purge needs of an event. */
const TimeShape = z.looseObject({ at: z.int() });

const ConsumerShape = z.looseObject({
  worker: z.string(),
  until: z.int(),
  token: z.int(),
  position: z.int(),
  claimedAt: z.int(),
});
type Consumer = z.infer<typeof ConsumerShape>;

export interface EventLogDeps {
  readonly database: EmbeddedDatabase;
  readonly tables: QueueTables;
  readonly clock: Clock;
}

export function embeddedEventLog({ database, tables, clock }: EventLogDeps): EmbeddedEventLog {
  const { events } = tables;
  const consumers = database.table("event-consumers");

  const consumerOf = (name: string): Consumer | null => {
    const stored = consumers.get(name);
    return stored === undefined ? null : readConsumer(stored);
  };

  function readByAll(): number {
    const known = [...consumers.entries({})]
      .map(({ value }) => readConsumer(value))
      .filter((consumer) => consumer !== null)
      .filter(({ claimedAt }) => clock.now() - claimedAt < FORGOTTEN_MS);
    return Math.min(Number.MAX_SAFE_INTEGER, ...known.map(({ position }) => position));
  }

  function purgeable(keepMs: number): TableKey[] {
    const now = clock.now();
    const keys: TableKey[] = [];
    for (const { key, value } of events.entries({ end: readByAll() + 1, limit: MAX_PURGED })) {
      const time = TimeShape.safeParse(value).data;
      if (time && now - time.at <= keepMs) break;
      if (time) keys.push(key);
      else eventOf(tables, value, Number(key)); // sets it aside
    }
    return keys;
  }

  /** The next events that are whole, as many as asked for. */
  function readSome(position: number, limit: number): NumberedEvent[] {
    const found: NumberedEvent[] = [];
    for (const { key, value } of events.entries({ start: position, exclusiveStart: true })) {
      if (found.length >= limit) break;
      const number = Number(key);
      const event = eventOf(tables, value, number);
      if (event) found.push({ ...event, number });
    }
    return found;
  }

  return {
    async read(position, limit) {
      return readSome(position, limit);
    },

    readByAll,

    async claim(consumer, worker, until) {
      return await database.write(() => {
        const now = clock.now();
        const before = consumerOf(consumer);
        const isSame = before?.worker === worker;
        if (before && !isSame && before.until > now) return null;
        const token = isSame ? before.token : (before?.token ?? 0) + 1;
        const position = before?.position ?? 0;
        consumers.put(consumer, { ...before, worker, until, token, position, claimedAt: now });
        return { consumer, token, position };
      });
    },

    async advance(claim, position) {
      return await database.write(() => {
        const before = consumerOf(claim.consumer);
        if (before?.token !== claim.token) return false;
        consumers.put(claim.consumer, { ...before, position: Math.max(before.position, position) });
        return true;
      });
    },

    async dropReader(worker) {
      await database.write(() => {
        const claimed = [...consumers.entries({})].map(({ key, value }) => ({
          key,
          consumer: readConsumer(value),
        }));
        for (const { key, consumer } of claimed) {
          if (consumer?.worker === worker) consumers.put(key, { ...consumer, until: 0 });
        }
      });
    },

    async purge(keepMs) {
      const keys = purgeable(keepMs);
      if (keys.length === 0) return 0;
      await database.write(() => keys.forEach((key) => events.remove(key)));
      return keys.length;
    },
  };
}

/** Null: it cannot be read. Its consumer begins anew, and what follows from an event follows once more where that can be seen. */
function readConsumer(stored: unknown): Consumer | null {
  return ConsumerShape.safeParse(stored).data ?? null;
}
