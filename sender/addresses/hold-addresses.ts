/**
 * Which Elastic IPs this host sends from. Each is held by a lease that all hosts see. A host takes what nobody holds up to its share,
 * and more when nobody else takes it; it has EC2 move an address here, and gives one away while another host has too few.
 *
 * A1  An address is used here only while its lease lasts by our own clock. Another host takes it some seconds later, and only then
 *     does EC2 move it: mail never leaves by one address from two hosts.
 * A2  An address is used only after EC2 has put it before a private address of this host.
 * A3  What is given away is first no longer used, for as long as a mail under way takes, and then free.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { ElasticAddress, ElasticAddresses, ThisHost } from "#shared/ports/elastic-addresses.ts";
import type { AddressLease, FleetStore } from "#shared/ports/fleet-store.ts";
import type { HeldAddress } from "./held-addresses.ts";

export interface HolderDeps {
  readonly fleet: Pick<FleetStore, "living" | "holdAddress" | "releaseAddress" | "addressLeases">;
  readonly elastic: Pick<ElasticAddresses, "list" | "host" | "associate" | "setReverseName">;
  readonly clock: Clock;
  /** As workers of this host say in the fleet where they run. */
  readonly host: string;
  /** Called with all that are held after each change. */
  readonly onHeld: (held: readonly HeldAddress[]) => void;
  /** What went wrong; it is tried again. */
  readonly onTrouble: (what: Trouble, error: unknown, name: string | null) => void;
}

export type Trouble = "hold" | "associate" | "reverse-name" | "look";

export interface AddressHolder {
  /** Hold addresses until `stop`; then give them all back. */
  run(stop: AbortSignal): Promise<void>;
  /** Hold for longer, give away, take: once. */
  round(): Promise<void>;
  held(): HeldAddress[];
}

/** A dead host's addresses are elsewhere after this, what clocks may differ by, `LEFT_ALONE_MS` and a round. */
const LEASE_MS = 20 * SECOND;
export const ROUND_MS = 5 * SECOND;
/** Of a round, for calls to EC2 one after another: what is left is done in the next one, after leases have been made longer. */
const CALLS_MS = 5 * SECOND;
/** From the last new connection over an address to its end here. */
const WITHDRAW_MS = 20 * SECOND;
/** What nobody with too few has taken by then is taken by anybody. */
const LEFT_ALONE_MS = 12 * SECOND;
/** A host that has had too few for so long is alive, for those that have died are forgotten by then. */
const TOO_FEW_MS = 90 * SECOND;
/** For so long nothing is given away after something that was given away came back. */
const KEEP_MS = 10 * MINUTE;
/** Reverse DNS that EC2 refused is asked for again: forward DNS takes its time to be seen. */
const REVERSE_AGAIN_MS = 10 * MINUTE;

interface Holding {
  readonly address: ElasticAddress;
  readonly privateAddress: string;
  readonly since: EpochMs;
  until: EpochMs;
  /** Not null: no longer used, and given away then. */
  leavesAt: EpochMs | null;
}

/** What a round goes by. */
interface Sight {
  readonly all: readonly ElasticAddress[];
  readonly here: ThisHost;
  readonly leases: readonly AddressLease[];
  /** Names of the living, ours among them. */
  readonly hosts: ReadonlySet<string>;
}

export function addressHolder(deps: HolderDeps): AddressHolder {
  const { fleet, elastic, clock, host, onHeld, onTrouble } = deps;
  const holdings = new Map<string, Holding>();
  /** When each that is free was first seen so. */
  const freeSince = new Map<string, EpochMs>();
  const reverseAt = new Map<string, EpochMs>();
  const givenAway = new Set<string>();
  let keepsUntil = 0 as EpochMs;
  let tooFewSince: EpochMs | null = null;
  let told = "[]";
  let roundSince = 0 as EpochMs;

  function hasTime(): boolean {
    return clock.now() < later(roundSince, CALLS_MS);
  }

  function held(): HeldAddress[] {
    const now = clock.now();
    return [...holdings.values()]
      .filter(({ until, leavesAt }) => until > now && leavesAt === null)
      .map(({ address: { name, publicIp }, privateAddress, until }) => ({
        name,
        privateAddress,
        publicIp,
        until,
      }));
  }

  function tell(): void {
    const now = held();
    const text = JSON.stringify(now);
    if (text === told) return;
    told = text;
    onHeld(now);
  }

  /** Null: another host's. */
  async function hold(address: string, since: EpochMs): Promise<EpochMs | null> {
    const until = later(clock.now(), LEASE_MS); // of before the write, so that nobody counts from later
    return (await fleet.holdAddress({ address, host, since, until })) ? until : null;
  }

  /** What cannot be held for longer is used until its time is over: the store may be out of order for a while. */
  async function holdForLonger(): Promise<void> {
    for (const [name, holding] of holdings) {
      try {
        const until = await hold(name, holding.since);
        if (until === null) holdings.delete(name);
        else holding.until = until;
      } catch (error) {
        onTrouble("hold", error, name);
      }
      if (holding.until <= clock.now()) holdings.delete(name);
    }
  }

  async function look(): Promise<Sight | null> {
    try {
      const [all, here, leases, living] = await Promise.all([
        elastic.list(),
        elastic.host(),
        fleet.addressLeases(),
        fleet.living(),
      ]);
      return { all, here, leases, hosts: new Set([host, ...living.map((one) => one.hostname)]) };
    } catch (error) {
      onTrouble("look", error, null);
      return null;
    }
  }

  /** Those that were taken away from here by hand come back. */
  async function bringBack({ all, here }: Sight): Promise<void> {
    for (const { name, at, id } of all) {
      const holding = holdings.get(name);
      if (!holding) continue;
      const isHere =
        at?.networkInterface === here.networkInterface && at.privateAddress === holding.privateAddress;
      if (!isHere && hasTime()) await associate(name, id, holding.privateAddress);
    }
  }

  async function giveAway(sight: Sight): Promise<void> {
    const now = clock.now();
    for (const [name, { leavesAt }] of holdings) {
      if (leavesAt === null || leavesAt > now) continue;
      await release(name);
      givenAway.add(name);
    }
    const share = shareOf(sight);
    const isLeaving = [...holdings.values()].some(({ leavesAt }) => leavesAt !== null); // one at a time
    if (!someoneHasTooFew(sight)) tooFewSince = null;
    else tooFewSince ??= now;
    const isWanted = tooFewSince !== null && later(tooFewSince, TOO_FEW_MS) <= now;
    if (isLeaving || holdings.size <= share || now < keepsUntil || !isWanted) return;
    const last = [...holdings.values()].toSorted((a, b) => compareNames(a.address, b.address)).at(-1);
    if (last) last.leavesAt = later(now, WITHDRAW_MS);
  }

  async function take(sight: Sight): Promise<void> {
    const now = clock.now();
    const used = new Set([...holdings.values()].map(({ privateAddress }) => privateAddress));
    const room = sight.here.privateAddresses.filter((address) => !used.has(address));
    for (const address of freeOnes(sight)) {
      const privateAddress = room[0];
      if (privateAddress === undefined || !hasTime()) return;
      const isLeftAlone = later(freeSince.get(address.name) ?? now, LEFT_ALONE_MS) <= now;
      if (holdings.size >= shareOf(sight) && !isLeftAlone) continue;
      if (await takeOne(address, privateAddress)) room.shift();
    }
  }

  async function takeOne(address: ElasticAddress, privateAddress: string): Promise<boolean> {
    const { name, id } = address;
    const since = clock.now();
    const until = await hold(name, since);
    if (until === null) return false;
    if (!(await associate(name, id, privateAddress))) {
      await release(name); // another host may have more luck
      return false;
    }
    holdings.set(name, { address, privateAddress, since, until, leavesAt: null });
    if (givenAway.delete(name)) keepsUntil = later(clock.now(), KEEP_MS);
    return true;
  }

  async function associate(name: string, id: string, privateAddress: string): Promise<boolean> {
    try {
      await elastic.associate(id, privateAddress);
      return true;
    } catch (error) {
      onTrouble("associate", error, name);
      return false;
    }
  }

  async function release(name: string): Promise<void> {
    holdings.delete(name);
    await fleet.releaseAddress(name, host);
  }

  /** In the order of their names, so that hosts agree. Notes since when they are. */
  function freeOnes({ all, leases }: Sight): ElasticAddress[] {
    const now = clock.now();
    const until = new Map(leases.map((lease) => [lease.address, lease.until]));
    const free = all.filter(({ name }) => !holdings.has(name) && (until.get(name) ?? 0) <= now);
    const names = new Set(free.map(({ name }) => name));
    for (const name of freeSince.keys()) if (!names.has(name)) freeSince.delete(name);
    for (const name of names) if (!freeSince.has(name)) freeSince.set(name, now);
    return free.toSorted(compareNames);
  }

  function someoneHasTooFew({ all, leases, hosts }: Sight): boolean {
    const now = clock.now();
    const enough = Math.floor(all.length / hosts.size);
    return [...hosts].some(
      (one) => leases.filter((lease) => lease.host === one && lease.until > now).length < enough,
    );
  }

  async function setReverseNames(): Promise<void> {
    const now = clock.now();
    for (const { name, id } of [...holdings.values()].map(({ address }) => address)) {
      if ((reverseAt.get(name) ?? now) > now || !hasTime()) continue;
      try {
        await elastic.setReverseName(id, name);
        reverseAt.set(name, Number.POSITIVE_INFINITY as EpochMs);
      } catch (error) {
        reverseAt.set(name, later(now, REVERSE_AGAIN_MS));
        onTrouble("reverse-name", error, name);
      }
    }
  }

  async function round(): Promise<void> {
    roundSince = clock.now();
    await holdForLonger();
    tell(); // at once, for what follows asks others
    const sight = await look();
    if (!sight) return;
    try {
      await bringBack(sight);
      await giveAway(sight);
      await take(sight);
    } catch (error) {
      onTrouble("hold", error, null);
    }
    tell();
    await setReverseNames();
  }

  return {
    round,
    held,
    async run(stop) {
      while (!stop.aborted) {
        await round();
        await clock.sleep(ROUND_MS, stop);
      }
      const names = [...holdings.keys()];
      holdings.clear();
      tell();
      for (const name of names)
        await fleet.releaseAddress(name, host).catch((error: unknown) => onTrouble("hold", error, name));
    },
  };
}

function shareOf({ all, hosts }: Sight): number {
  return Math.ceil(all.length / hosts.size);
}

function compareNames(one: ElasticAddress, other: ElasticAddress): number {
  return one.name < other.name ? -1 : 1;
}
