/**
 * Looking at and changing all waiting rows that match, however many there are: a call looks at a bounded number of them and gives
 * a cursor to go on with. A pass sees each row that was there when it began, once; repeated, it changes only what is left to change.
 */

import type { Clock } from "../domain/clock.ts";
import { DomainError } from "../domain/errors.ts";
import type { OpenState } from "../domain/queue-row.ts";
import { OPEN_STATES } from "../domain/queue-row.ts";
import type { EpochMs } from "../domain/units.ts";
import { later, SECOND } from "../domain/units.ts";
import type { Zone, ZoneName } from "../domain/zone.ts";
import type { Operation, QueueStore } from "../ports/queue-store.ts";
import type { MatchedRow, MatchFields } from "./match-rows.ts";
import { rowMatch } from "./match-rows.ts";
import { FIT } from "./operate.ts";
import { listEntry, readZone, responseOf } from "./query.ts";

export interface BulkDeps {
  readonly queue: QueueStore;
  readonly zones: ReadonlyMap<ZoneName, Zone>;
  readonly clock: Pick<Clock, "now">;
}

export interface BulkRequest extends MatchFields {
  readonly zone?: string | undefined;
  /** All waiting rows are meant: what a request without any condition has to say. */
  readonly all?: true | undefined;
  /** Count only. */
  readonly dryRun: boolean;
  readonly cursor?: string | undefined;
}

export interface ListRequest extends MatchFields {
  readonly zone?: string | undefined;
  readonly state?: OpenState | undefined;
  readonly order: "asc" | "desc";
  readonly pageSize: number;
  readonly cursor?: string | undefined;
}

/** Words of the API for operations. */
export const OPERATIONS = {
  retry: "retry-now",
  hold: "hold",
  release: "release",
  drop: "drop",
} as const satisfies Record<string, Operation>;
export type OperationWord = keyof typeof OPERATIONS;

/** Rows that a call looks at. */
const MAX_EXAMINED = 5_000;
/** Rows read, and changed, at once. */
const ROWS_A_STEP = 500;
/** A call that took so long ends with the step it is in: a Lambda has half a minute. */
const MAX_MS = 5 * SECOND;

/** Change what matches, or count it. The cursor is null when all have been looked at. */
export async function operateMatching(
  { queue, zones, clock }: BulkDeps,
  operation: OperationWord,
  request: BulkRequest,
) {
  refuseUnmeant(request);
  const { startedAt, after } = readCursor(request.cursor, clock.now());
  const match = rowMatch(request, { queue, now: startedAt });
  const fit = FIT[OPERATIONS[operation]];
  const states = fit.includes("queued") ? [...fit, "leased" as const] : fit;
  const zone = readZone(zones, request.zone);
  const report = { operation, dryRun: request.dryRun, examined: 0, matched: 0, busy: 0, changed: 0 };
  const endAt = later(clock.now(), MAX_MS);
  let cursor = after;
  do {
    const page = await queue.list({ zone, states, order: "oldest-first", limit: ROWS_A_STEP, cursor });
    const old = page.rows.filter(({ createdAt }) => createdAt <= startedAt);
    const isPast = page.rows.length > 0 && old.length === 0; // the rest came after the pass began
    cursor = isPast ? null : page.cursor;
    const found = (await match(old)).map(({ row }) => row);
    const waiting = found.filter(({ state }) => state !== "leased");
    report.examined += old.length;
    report.matched += waiting.length;
    report.busy += found.length - waiting.length;
    if (!request.dryRun && waiting.length > 0) {
      const ids = waiting.map(({ id }) => id);
      report.changed += (await queue.operate(OPERATIONS[operation], ids)).length;
    }
  } while (cursor !== null && report.examined < MAX_EXAMINED && clock.now() < endAt);
  return { ...report, cursor: cursor && printCursor(startedAt, cursor) };
}

/** A page may be short, or empty, and have a cursor: only so many rows are looked at for it. */
export async function listMatching({ queue, zones, clock }: BulkDeps, request: ListRequest) {
  const { startedAt, after } = readCursor(request.cursor, clock.now());
  const match = rowMatch(request, { queue, now: startedAt });
  const zone = readZone(zones, request.zone);
  const states = request.state === undefined ? OPEN_STATES : [request.state];
  const order = request.order === "asc" ? "oldest-first" : "newest-first";
  const endAt = later(clock.now(), MAX_MS);
  const found: MatchedRow[] = [];
  let cursor = after;
  let examined = 0;
  do {
    const limit = Math.min(request.pageSize - found.length, ROWS_A_STEP);
    const page = await queue.list({ zone, states, order, limit, cursor });
    ({ cursor } = page);
    examined += limit;
    found.push(...(await match(page.rows)));
  } while (
    cursor !== null &&
    found.length < request.pageSize &&
    examined < MAX_EXAMINED &&
    clock.now() < endAt
  );
  return { list: found.map(entryView), cursor: cursor && printCursor(startedAt, cursor) };
}

function entryView({ row, message }: MatchedRow) {
  return {
    ...listEntry(row),
    from: message && (message.returnPath ?? ""),
    response: row.lastAttempt && responseOf(row.lastAttempt),
  };
}

function refuseUnmeant({ all, zone, sender, domain, recipient, olderThan, error }: BulkRequest): void {
  const conditions = [zone, sender, domain, recipient, olderThan, error];
  const isConditioned = conditions.some((condition) => condition !== undefined);
  if (isConditioned !== (all === true)) return;
  const text = isConditioned
    ? "all: true goes with no condition; leave one of them out"
    : "say which rows are meant (zone, sender, domain, recipient, olderThan, error), or all: true";
  throw new DomainError("invalid-request", text);
}

/** When the pass began, so that ages and its end are those of its first call, and where it is. */
function printCursor(startedAt: EpochMs, cursor: string): string {
  return `${startedAt.toString(36)}~${cursor}`;
}

function readCursor(text: string | undefined, now: EpochMs): { startedAt: EpochMs; after: string | null } {
  if (text === undefined) return { startedAt: now, after: null };
  const [, time, after] = /^([0-9a-z]{1,10})~(.+)$/.exec(text) ?? [];
  if (time === undefined || after === undefined) {
    throw new DomainError("invalid-request", "take the cursor from the page before, unchanged", "cursor");
  }
  return { startedAt: Math.min(Number.parseInt(time, 36), now) as EpochMs, after };
}
