/**
 * The events in order, and how far each consumer has read. The queue store writes events; here they are read and purged.
 *
 * An event is kept for as long as history is, and longer while a consumer has not read it: a webhook that was down for a week
 * loses nothing. A consumer that nobody has claimed for `FORGOTTEN_MS` is gone, and holds nothing back.
 */

import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import { DAY } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { EventLog } from "../ports/event-log.ts";
import type { EmbeddedDatabase, TableKey } from "./database.ts";
import { readEvent } from "./records.ts";

const FORGOTTEN_MS = 30 * DAY;
/** Events forgotten in one call. */
const MAX_PURGED = 5_000;

export interface EmbeddedEventLog extends EventLog {
  /** Forget events older than `keepMs` that every consumer has read; some thousands a call. */
  purge(keepMs: number): Promise<number>;
}

const ConsumerShape = z.looseObject({
  worker: z.string(),
  until: z.int(),
  token: z.int(),
  position: z.int(),
  claimedAt: z.int(),
});
type Consumer = z.infer<typeof ConsumerShape>;

export function embeddedEventLog(deps: { database: EmbeddedDatabase; clock: Clock }): EmbeddedEventLog {
  const { database, clock } = deps;
  const events = database.table("events");
  const consumers = database.table("event-consumers");

  const consumerOf = (name: string): Consumer | null => {
    const stored = consumers.get(name);
    return stored === undefined ? null : ConsumerShape.parse(stored);
  };

  /** The last event that every known consumer is done with. */
  function readByAll(now: EpochMs): number {
    const known = [...consumers.entries({})]
      .map(({ value }) => ConsumerShape.parse(value))
      .filter(({ claimedAt }) => now - claimedAt < FORGOTTEN_MS);
    return Math.min(Number.MAX_SAFE_INTEGER, ...known.map(({ position }) => position));
  }

  function purgeable(keepMs: number): TableKey[] {
    const now = clock.now();
    const keys: TableKey[] = [];
    for (const { key, value } of events.entries({ end: readByAll(now) + 1, limit: MAX_PURGED })) {
      if (now - readEvent(value, String(key)).at <= keepMs) break;
      keys.push(key);
    }
    return keys;
  }

  return {
    async read(position, limit) {
      const found = events.entries({ start: position, exclusiveStart: true, limit });
      return [...found].map(({ key, value }) => ({ ...readEvent(value, String(key)), number: Number(key) }));
    },

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
          consumer: ConsumerShape.parse(value),
        }));
        for (const { key, consumer } of claimed) {
          if (consumer.worker === worker) consumers.put(key, { ...consumer, until: 0 });
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
