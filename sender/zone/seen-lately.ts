/**
 * When the peer of a rate has seen the mails that this process began in the last period. Permits keep their distance
 * (domain/rate-schedule.ts), but a mail that a busy machine, or the peer, held up stands nearer to those that come a period later. Those
 * wait for it here, so that what one process sends fits into the rate wherever the peer begins to count.
 *
 * It costs next to nothing as long as few mails are held up: each period has a little more room than mails, and makes good what
 * was late. Where mails differ as the weather does, permits run out while there is no room. Of those
 * a bounded part may be lost, `LOST_SHARE`; while there is no more to lose, the permits alone decide.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { Rate } from "#shared/domain/throttle.ts";
import { later } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";

export interface SeenLately {
  /** How many recipients may begin now. */
  room(): number;
  /** When there is room for one; not after now while there is. */
  roomAt(): EpochMs;
  /** A mail for so many recipients begins; to be called when the peer has taken it. */
  begin(recipients: number): (seenAt: EpochMs) => void;
  /** So many permits ran out while there was no room. */
  lost(permits: number): void;
}

/** Of a rate of more than this, one mail that is late is no matter. */
const MAX_WATCHED = 10_000;
const LOST_SHARE = 0.006;
/** Permits that may be lost at once; what was not needed is kept for later up to the most. */
const FIRST_PURSE = 2;
const MAX_PURSE = 10;

export function seenLately({ count, perMs }: Rate, clock: Clock): SeenLately {
  /** In order. Of a mail that was not taken, or not yet, its begin. */
  const times: EpochMs[] = [];
  let purse = FIRST_PURSE;

  function add(at: EpochMs, recipients: number): void {
    if (count > MAX_WATCHED) return; // nobody asks when they were
    const after = times.findLastIndex((time) => time <= at) + 1;
    times.splice(after, 0, ...Array.from({ length: recipients }, () => at));
    if (times.length > MAX_WATCHED) times.splice(0, times.length - MAX_WATCHED);
  }

  function remove(at: EpochMs, recipients: number): void {
    const first = times.indexOf(at);
    if (first !== -1) times.splice(first, recipients);
  }

  function isHeeded(): boolean {
    return purse > 0 && count <= MAX_WATCHED;
  }

  function roomAt(): EpochMs {
    const full = times[times.length - count];
    return full === undefined || !isHeeded() ? clock.now() : later(full, perMs);
  }

  return {
    room() {
      const now = clock.now();
      while ((times[0] ?? Number.POSITIVE_INFINITY) <= now - perMs) times.shift();
      while ((times.at(-1) ?? 0) > now) times.pop(); // the clock was set back
      return isHeeded() ? Math.max(0, count - times.length) : count;
    },
    roomAt,
    begin(recipients) {
      const begun = clock.now();
      add(begun, recipients);
      purse = Math.min(MAX_PURSE, purse + recipients * LOST_SHARE);
      return (seenAt) => {
        remove(begun, recipients);
        add(seenAt, recipients);
      };
    },
    lost(permits) {
      purse -= permits;
    },
  };
}
