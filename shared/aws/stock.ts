/**
 * What one sender knows of a zone's rows that could be taken: signals it has received, and rows it has found in the index. A
 * take chooses from here, domain by domain in turn, so that neither a domain that is to be avoided nor one with a long backlog
 * hides the others. What lies here is a promise of nothing: rows are read, and leased with a condition, when they are chosen.
 */

import type { Domain } from "../domain/address.ts";
import type { MessageId, RowId } from "../domain/ids.ts";
import { rowIdOf } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { TakeRequest } from "../ports/queue-store.ts";

/** A signal that we hold: hidden from others until then. */
export interface Ticket {
  readonly zone: ZoneName;
  readonly sqsId: string;
  /** The newest; older ones are good for nothing. */
  receipt: string;
  hiddenUntil: EpochMs;
  readonly receiveCount: number;
  /** Leases that came of it and have not ended. */
  open: number;
}

/** Rows of one message and one domain that may be leased together. */
export interface Parcel {
  readonly zone: ZoneName;
  readonly messageId: MessageId;
  readonly domain: Domain;
  readonly dueAt: EpochMs;
  readonly seqs: readonly number[];
  /** Null: found in the index. */
  readonly ticket: Ticket | null;
  /** Forgotten then: the signal goes to another sender, or the look is too long ago. */
  readonly keepUntil: EpochMs;
}

export type Wanted = Pick<TakeRequest, "max" | "maxPerDomain" | "avoid">;

export interface Stock {
  /** Gives the parcel that has to go for it: of the domain that has most. Null: there was room. */
  add(parcel: Parcel): Parcel | null;
  /** Take out what a take should lease now: domains in turn, the oldest of each first. */
  choose(wanted: Wanted, now: EpochMs): Parcel[];
  /** Rows that `choose` could give now, with no regard to `max`. */
  countRows(wanted: Wanted, now: EpochMs): number;
  /** When the next parcel comes due that is not yet; null: none is known. */
  nextDueAt(avoid: ReadonlySet<Domain>, now: EpochMs): EpochMs | null;
  has(row: RowId): boolean;
  /** Forget and give what was kept too long. */
  expire(now: EpochMs): Parcel[];
  /** Forget and give all of these domains. */
  drop(domains: ReadonlySet<Domain> | "all"): Parcel[];
}

export function stockOf(maxParcels: number): Stock {
  /** In the order of their turns. */
  const domains = new Map<Domain, Parcel[]>();
  /** How many parcels hold the row. */
  const rows = new Map<RowId, number>();
  let size = 0;

  function remember(parcel: Parcel): void {
    size++;
    for (const id of rowsOf(parcel)) rows.set(id, (rows.get(id) ?? 0) + 1);
  }

  function forget(parcel: Parcel): void {
    size--;
    for (const id of rowsOf(parcel)) {
      const count = (rows.get(id) ?? 1) - 1;
      if (count > 0) rows.set(id, count);
      else rows.delete(id);
    }
  }

  function takeOut(domain: Domain, wanted: (parcel: Parcel) => boolean): Parcel[] {
    const parcels = domains.get(domain) ?? [];
    const out = parcels.filter(wanted);
    if (out.length === 0) return out;
    const kept = parcels.filter((parcel) => !out.includes(parcel));
    if (kept.length > 0) domains.set(domain, kept);
    else domains.delete(domain);
    for (const parcel of out) forget(parcel);
    return out;
  }

  function evict(): Parcel | null {
    let largest: Parcel[] = [];
    for (const parcels of domains.values()) if (parcels.length > largest.length) largest = parcels;
    const last = largest.at(-1);
    if (!last) return null;
    takeOut(last.domain, (parcel) => parcel === last);
    return last;
  }

  return {
    add(parcel) {
      const parcels = domains.get(parcel.domain) ?? [];
      parcels.splice(placeFor(parcels, parcel), 0, parcel);
      domains.set(parcel.domain, parcels);
      remember(parcel);
      return size > maxParcels ? evict() : null;
    },

    choose({ max, maxPerDomain, avoid }, now) {
      const chosen: Parcel[] = [];
      let room = max;
      const turns = [...domains]; // the map changes under way
      for (const [domain, parcels] of turns) {
        if (room <= 0) break;
        if (avoid.has(domain)) continue;
        const share = firstRows(parcels, Math.min(room, maxPerDomain), now);
        if (share.length === 0) continue;
        takeOut(domain, (parcel) => share.includes(parcel));
        const left = domains.get(domain);
        if (left) {
          domains.delete(domain); // its next turn comes after those of all others
          domains.set(domain, left);
        }
        room -= countOf(share);
        chosen.push(...share);
      }
      return chosen;
    },

    countRows({ maxPerDomain, avoid }, now) {
      let count = 0;
      for (const [domain, parcels] of domains) {
        if (!avoid.has(domain)) count += countOf(firstRows(parcels, maxPerDomain, now));
      }
      return count;
    },

    nextDueAt(avoid, now) {
      let next: EpochMs | null = null;
      for (const [domain, parcels] of domains) {
        if (avoid.has(domain)) continue;
        const dueAt = parcels.find((parcel) => parcel.dueAt > now)?.dueAt;
        if (dueAt !== undefined && (next === null || dueAt < next)) next = dueAt;
      }
      return next;
    },

    has: (row) => rows.has(row),

    expire(now) {
      return [...domains.keys()].flatMap((domain) => takeOut(domain, ({ keepUntil }) => keepUntil <= now));
    },

    drop(which) {
      const dropped = which === "all" ? [...domains.keys()] : [...which];
      return dropped.flatMap((domain) => takeOut(domain, () => true));
    },
  };
}

function rowsOf({ messageId, seqs }: Parcel): RowId[] {
  return seqs.map((seq) => rowIdOf(messageId, seq));
}

function countOf(parcels: readonly Parcel[]): number {
  return parcels.reduce((sum, { seqs }) => sum + seqs.length, 0);
}

/** Parcels that are due, until they have that many rows. */
function firstRows(parcels: readonly Parcel[], room: number, now: EpochMs): Parcel[] {
  const first: Parcel[] = [];
  let left = room;
  for (const parcel of parcels) {
    if (left <= 0 || parcel.dueAt > now) break; // in the order of their times
    first.push(parcel);
    left -= parcel.seqs.length;
  }
  return first;
}

/** Behind all that are older. */
function placeFor(parcels: readonly Parcel[], parcel: Parcel): number {
  let low = 0;
  let high = parcels.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(parcel, parcels[middle] as Parcel)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function isBefore(a: Parcel, b: Parcel): boolean {
  if (a.dueAt !== b.dueAt) return a.dueAt < b.dueAt;
  if (a.messageId !== b.messageId) return a.messageId < b.messageId;
  return (a.seqs[0] ?? 0) < (b.seqs[0] ?? 0);
}
