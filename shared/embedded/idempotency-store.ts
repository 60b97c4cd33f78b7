/**
 * Records of repeatable requests in LMDB, with a second table in order of their ends: each claim forgets a few whose time is
 * over, so that nothing else has to clean up.
 */

import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import type { MessageId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import type {
  ClaimRequest,
  IdempotencyClaim,
  IdempotencyRecord,
  IdempotencyStore,
} from "../ports/idempotency-store.ts";
import type { EmbeddedDatabase } from "./database.ts";

/** Records forgotten at one claim: more than it makes, so that the table shrinks back. */
const FORGOTTEN_AT_ONCE = 10;
const NOBODY = 0 as EpochMs;

const RecordShape = z.object({
  messageId: z.string(),
  fingerprint: z.string().nullable(),
  claimedUntil: z.number(),
  answer: z.string().nullable(),
  token: z.number(),
  keepUntil: z.number(),
});

interface StoredRecord extends IdempotencyRecord {
  readonly token: number;
  readonly keepUntil: EpochMs;
}

export function embeddedIdempotencyStore({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Pick<Clock, "now">;
}): IdempotencyStore {
  const records = database.table("idempotency");
  const ends = database.table("idempotency-ends");

  /** Null: none, or one whose time is over and that nobody works on. */
  function read(key: string): StoredRecord | null {
    const stored = records.get(key);
    if (stored === undefined) return null;
    const { messageId, claimedUntil, keepUntil, ...rest } = RecordShape.parse(stored);
    if (keepUntil <= clock.now() && claimedUntil <= clock.now()) return null;
    return {
      ...rest,
      messageId: messageId as MessageId,
      claimedUntil: claimedUntil as EpochMs,
      keepUntil: keepUntil as EpochMs,
    };
  }

  function forgetOld(): void {
    const over = [...ends.keys({ start: [0, ""], end: [clock.now(), ""], limit: FORGOTTEN_AT_ONCE })];
    for (const end of over) {
      const [keepUntil, key] = end as [number, string];
      const found = read(key);
      if (found?.keepUntil === keepUntil) continue; // somebody still works on it
      ends.remove(end);
      if (!found) records.remove(key);
    }
  }

  function take(key: string, found: StoredRecord | null, request: ClaimRequest): IdempotencyClaim {
    const { until, keepUntil } = request;
    const token = (found?.token ?? 0) + 1;
    const messageId = found?.messageId ?? request.messageId;
    const fingerprint = found?.fingerprint ?? request.fingerprint;
    const end = found?.keepUntil ?? keepUntil;
    records.put(key, { messageId, fingerprint, claimedUntil: until, answer: null, token, keepUntil: end });
    if (!found) ends.put([keepUntil, key], 1);
    return { key, token, messageId, fingerprint, first: found === null };
  }

  /** Change the record of a claim that still holds. False: it does not, and nothing was written. */
  function change(claim: IdempotencyClaim, to: Partial<StoredRecord> | "removed"): Promise<boolean> {
    return database.write(() => {
      const found = read(claim.key);
      if (found?.token !== claim.token || found.answer !== null) return false;
      if (to === "removed") {
        records.remove(claim.key);
        ends.remove([found.keepUntil, claim.key]);
      } else {
        records.put(claim.key, { ...found, ...to });
      }
      return true;
    });
  }

  return {
    async claim(key, request) {
      return database.write(() => {
        forgetOld();
        const record = read(key);
        if (record?.answer != null) return { kind: "answered", record };
        if (record && record.claimedUntil > clock.now()) return { kind: "busy", record };
        if (record && differ(record.fingerprint, request.fingerprint)) return { kind: "other", record };
        return { kind: "claimed", claim: take(key, record, request) };
      });
    },

    async seal(claim, fingerprint) {
      if (claim.fingerprint === fingerprint) return "sealed";
      if (claim.fingerprint !== null) return "other";
      return (await change(claim, { fingerprint })) ? "sealed" : "lost";
    },

    async finish(claim, answer) {
      return change(claim, { answer, claimedUntil: NOBODY });
    },

    async release(claim, how) {
      return change(claim, how === "forget" ? "removed" : { claimedUntil: NOBODY });
    },

    async get(key) {
      return read(key);
    },
  };
}

/** What is not known differs from nothing. */
function differ(one: string | null, other: string | null): boolean {
  return one !== null && other !== null && one !== other;
}
