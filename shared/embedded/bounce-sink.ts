/** Reported bounces in LMDB, numbered as they come: each pushes out the one that came `MAX_REPORTED` before it. */

import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import type { EpochMs } from "../domain/units.ts";
import { later } from "../domain/units.ts";
import type { BounceSink, ReportedBounce } from "../ports/bounce-sink.ts";
import { MAX_REPORTED, REPORTED_KEPT_MS } from "../ports/bounce-sink.ts";
import type { EmbeddedDatabase } from "./database.ts";

const LAST_NUMBER = "bounce-sink.last-number";

const StoredShape = z.object({ receivedAt: z.number(), fields: z.record(z.string(), z.string()) });

export function embeddedBounceSink({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Pick<Clock, "now">;
}): BounceSink {
  const reported = database.table("bounce-sink");

  return {
    async add({ receivedAt, fields }) {
      await database.write((transaction) => {
        const number = transaction.count(LAST_NUMBER, 1);
        reported.put(number, { receivedAt, fields });
        reported.remove(number - MAX_REPORTED);
      });
    },

    async list() {
      const since = later(clock.now(), -REPORTED_KEPT_MS);
      return [...reported.entries({})].flatMap(({ value }): ReportedBounce[] => {
        const stored = StoredShape.safeParse(value).data;
        if (!stored || stored.receivedAt <= since) return [];
        return [{ receivedAt: stored.receivedAt as EpochMs, fields: stored.fields }];
      });
    },
  };
}
