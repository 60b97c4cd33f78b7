/**
 * Reports on bounces where events are a stream that is read once (AWS): a report that cannot be made now is kept, and tried again on
 * a schedule. So neither a store that is down nor a report that can never be made stops the stream, and no crash loses one.
 *
 * 1. Each report is made of the events that one record of the stream tells of, so that it has the same id wherever the stream's
 *    batches are cut, and is made once however often they are read. A record is a message or one row of it.
 * 2. When one fails or takes long, the rest of the batch is kept, and so is what comes next, until all that was kept is made.
 * 3. What still cannot be made after a day is given up and said aloud.
 */

import type { Clock } from "../domain/clock.ts";
import type { MailEvent } from "../domain/event.ts";
import type { EpochMs } from "../domain/units.ts";
import { later, SECOND } from "../domain/units.ts";
import type { BacklogClaim, EventBacklog, KeptEvents } from "../ports/event-backlog.ts";
import { GIVE_UP_MS, retryWait } from "./notify.ts";

/** In the backlog. Receivers have other names. */
export const REPORTS = "reports";
/** One report takes some tens of milliseconds. One that has not been made by then counts as failed, and may still come to be. */
export const REPORT_MS = 10 * SECOND;
/** Once the reports of a batch have taken so long, the rest of them is kept. */
export const BATCH_MS = 15 * SECOND;
/** Left for a report to end in, and to be written down. */
export const LAST_START_MS = REPORT_MS + 5 * SECOND;
/** Reads of the backlog in one go: the next one goes on. */
const MAX_READS = 1_000;

/** Events of one report. */
export interface PlacedReport {
  /** Of the record in the stream: digits. */
  readonly place: string;
  readonly events: readonly MailEvent[];
}

export interface ReportStreamDeps {
  readonly backlog: EventBacklog;
  readonly clock: Clock;
  /** Makes the report, once. Rejects when it cannot be made now. */
  readonly report: (events: readonly MailEvent[]) => Promise<void>;
  readonly onFailed: (events: readonly MailEvent[], error: unknown) => void;
  /** So many reports are tried again later. */
  readonly onKept: (reports: number) => void;
  readonly onGivenUp: (events: readonly MailEvent[]) => void;
  /** What was kept is no list of events: a fault of ours. */
  readonly onUnreadable: (key: string) => void;
}

/** Make the reports, or keep them, in bounded time. When it rejects, the stream must give the same again. */
export async function reportNow(reports: readonly PlacedReport[], deps: ReportStreamDeps): Promise<void> {
  if (reports.length === 0) return;
  const isOpen = await deps.backlog.isOpen(REPORTS);
  const made = isOpen ? 0 : await makeSome(reports, deps);
  const rest = reports.slice(made);
  if (rest.length === 0) return;
  await Promise.all(rest.map((each) => keep(deps, each)));
  deps.onKept(rest.length);
}

/** Resolves with how many were made. */
async function makeSome(reports: readonly PlacedReport[], deps: ReportStreamDeps): Promise<number> {
  const slowAt = later(deps.clock.now(), BATCH_MS);
  let made = 0;
  for (const { events } of reports) {
    if (deps.clock.now() >= slowAt || !(await isMade(deps, events))) break;
    made++;
  }
  return made;
}

/** As one part, so that it is the same report when it is tried again. */
function keep({ backlog }: ReportStreamDeps, { place, events }: PlacedReport): Promise<void> {
  const placed = events.map((event) => ({ place, event }));
  return backlog.keep(REPORTS, placed, events.length);
}

async function isMade(deps: ReportStreamDeps, events: readonly MailEvent[]): Promise<boolean> {
  const ended = new AbortController();
  const late = deps.clock.sleep(REPORT_MS, ended.signal).then(() => {
    if (!ended.signal.aborted) throw new Error(`the report was not made within ${REPORT_MS} ms`);
  });
  try {
    await Promise.race([deps.report(events), late]);
    return true;
  } catch (error) {
    deps.onFailed(events, error);
    return false;
  } finally {
    ended.abort();
  }
}

/**
 * Make what was kept, if its time has come: all of it once, or as much as there is time for before `until`; then the next one goes
 * on behind it. So reports that cannot be made, however many they are and however long they take to fail, hold up no other.
 */
export async function reportAgain(until: EpochMs, deps: ReportStreamDeps): Promise<void> {
  const { backlog, clock } = deps;
  if (!(await backlog.isOpen(REPORTS))) return;
  const claim = await backlog.claim(REPORTS, until);
  if (!claim) return;
  let { behind } = claim;
  const total = { done: 0, left: behind === null ? 0 : 1 };
  for (let read = 0; read < MAX_READS && clock.now() < later(until, -LAST_START_MS); read++) {
    const kept = await backlog.read(claim, behind);
    if (kept.length === 0) return endRound(claim, total, deps);
    const { done, tried } = await makeKept(kept, until, deps);
    await backlog.remove(claim, done);
    total.done += done.length;
    total.left += tried.length - done.length;
    behind = tried.at(-1)?.key ?? behind;
  }
  await backlog.pause(claim, { failures: 0, retryAt: clock.now(), behind });
}

/** All have had their turn. `left` of them stay. */
async function endRound(
  claim: BacklogClaim,
  { done, left }: { done: number; left: number },
  { backlog, clock }: ReportStreamDeps,
): Promise<void> {
  if (left === 0) return backlog.close(claim);
  const failures = done > 0 ? 1 : claim.failures + 1;
  await backlog.pause(claim, { failures, retryAt: later(clock.now(), retryWait(failures)) });
}

/** `tried`: those that there was time for. `done`: of them those that were made, and those that never will be. */
async function makeKept(
  kept: readonly KeptEvents[],
  until: EpochMs,
  deps: ReportStreamDeps,
): Promise<{ done: KeptEvents[]; tried: KeptEvents[] }> {
  const { clock } = deps;
  const tooOld = later(clock.now(), -GIVE_UP_MS);
  const done: KeptEvents[] = [];
  const tried: KeptEvents[] = [];
  for (const part of kept) {
    if (clock.now() >= later(until, -LAST_START_MS)) break;
    tried.push(part);
    const { key, events } = part;
    if (!events) deps.onUnreadable(key);
    else if (!(await isMade(deps, events))) {
      if (events.some(({ at }) => at > tooOld)) continue;
      deps.onGivenUp(events);
    }
    done.push(part);
  }
  return { done, tried };
}
