/**
 * What a rate has to be put off by, because mails went through later after their permits than others do. The permits of a rate keep
 * their distance (domain/rate-schedule.ts), and so do the mails as the peer sees them as long as each takes as long as the others.
 * One that took longer than others on its way, by more than the margin, stands nearer to those that come a period later; the
 * schedule is put off by what is missing, and never for one mail by more than the place of one.
 *
 * It costs a bounded part of the rate, `PAID_SHARE`, of the mails of this process: where mails differ as the weather does, the peer may
 * count one too many in some period, and what begins here keeps to the rate still.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { Rate } from "#shared/domain/throttle.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";

export interface Lateness {
  /** A mail begins with a permit of that time. To be called when the peer has taken it. */
  begin(at: EpochMs): (seenAt: EpochMs) => void;
  /** The permits to come have to be so much later, which is whole milliseconds. */
  readonly owedMs: number;
  /** The caller has seen to it. */
  paid(ms: number): void;
}

/** Of the time that its mails take up in the rate, so much may be lost to lateness, and what was not needed is kept for later. */
const PAID_SHARE = 0.003;
const FIRST_PURSE_MS = SECOND / 20;
const MAX_PURSE_MS = SECOND / 4;
/** Of a rate that is new the first few are no measure: what is read, connected and compiled for the first time takes longer. */
const MAILS_TO_TRUST = 20;

export function latenessOf(rate: Rate, { clock, marginMs }: { clock: Clock; marginMs: number }): Lateness {
  const everyMs = rate.perMs / rate.count;
  let mails = 0;
  let owed = 0;
  let paid = 0;
  let purse = FIRST_PURSE_MS;

  return {
    begin(at) {
      const paidBefore = paid;
      purse = Math.min(MAX_PURSE_MS, purse + everyMs * PAID_SHARE);
      return (seenAt) => {
        mails++;
        const lateMs = mails <= MAILS_TO_TRUST ? clock.now() - at : seenAt - at;
        const missing = lateMs - marginMs - (paid + owed - paidBefore);
        owed += Math.max(0, Math.min(everyMs, missing));
        owed = Math.min(owed, purse); // what there is no more time for is let go
      };
    },

    get owedMs() {
      return Math.floor(owed);
    },

    paid(ms) {
      owed -= ms;
      purse -= ms;
      paid += ms;
    },
  };
}
