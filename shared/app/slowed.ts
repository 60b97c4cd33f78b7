/** Sites that asked for less mail, as an operator sees them, and an end to it before its time. How it works is in domain/pace.ts. */

import type { Clock } from "../domain/clock.ts";
import { rateAt, recoveredAt, stepAt } from "../domain/pace.ts";
import { later, MINUTE } from "../domain/units.ts";
import type { LimitStore, SlowedSite } from "../ports/limit-store.ts";

export interface SlowedDeps {
  readonly limits: Pick<LimitStore, "slow" | "slowed">;
  readonly clock: Pick<Clock, "now">;
}

/** Long enough for every process to read it (sender/zone/slowed-sites.ts reads every few seconds). */
const SEEN_BY_ALL_MS = MINUTE;

export async function listSlowed(deps: SlowedDeps) {
  const now = deps.clock.now();
  const list = (await slowNow(deps)).map((entry) => ({
    id: slowedId(entry),
    zone: entry.zone,
    domain: entry.site,
    step: stepAt(entry, now),
    /** Mails a minute, over all processes. */
    rate: rateAt(stepAt(entry, now))?.count ?? 0,
    response: entry.response,
    complained: new Date(entry.complainedAt).toISOString(),
    until: new Date(recoveredAt(entry)).toISOString(),
  }));
  return { list };
}

/** Send as fast as ever again, until the next complaint: to all slowed sites, or to those meant. Senders follow within seconds. */
export async function endSlowing(
  deps: SlowedDeps,
  { zone, domain }: { zone?: string | undefined; domain?: string | undefined },
) {
  const now = deps.clock.now();
  const meant = (await slowNow(deps)).filter(
    (entry) =>
      (zone === undefined || entry.zone === zone.toLowerCase()) &&
      (domain === undefined || entry.site === domain),
  );
  const deleted: string[] = [];
  for (const entry of meant) {
    // Not taken out: of two entries the newer one counts for senders, and this one says that there is no slowing any more.
    const ended = { ...entry, step: 0, raisedAt: now, complainedAt: now, until: later(now, SEEN_BY_ALL_MS) };
    await deps.limits.slow(ended);
    deleted.push(slowedId(entry));
  }
  return { success: true as const, deleted };
}

async function slowNow({ limits, clock }: SlowedDeps): Promise<SlowedSite[]> {
  const now = clock.now();
  return (await limits.slowed()).filter((entry) => stepAt(entry, now) > 0);
}

function slowedId({ zone, site }: Pick<SlowedSite, "zone" | "site">): string {
  return `${zone} ${site}`;
}
