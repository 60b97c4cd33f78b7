/** The workers of this machine in LMDB: a member is a row that says until when it is alive. */

import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import type { WorkerId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { AddressLease, FleetMember, FleetStore } from "../ports/fleet-store.ts";
import type { EmbeddedDatabase } from "./database.ts";

const MemberSchema = z.object({
  worker: z.string(),
  hostname: z.string(),
  pid: z.number(),
  startedAt: z.number(),
  until: z.number(),
  addresses: z.array(z.string()),
  full: z.array(z.object({ zone: z.string(), domains: z.array(z.string()) })).default([]),
});

const AddressLeaseSchema = z.object({
  address: z.string(),
  host: z.string(),
  since: z.number(),
  until: z.number(),
});

export function embeddedFleetStore({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Clock;
}): FleetStore {
  const members = database.table("fleet");
  const addresses = database.table("addresses");

  function leaseOf(address: string): AddressLease | null {
    const stored = addresses.get(address);
    return stored === undefined ? null : addressLeaseOf(stored);
  }

  function all(): FleetMember[] {
    return [...members.entries({})].map(({ value }) => memberOf(value));
  }

  return {
    /** Also forgets those whose time is over: there are as many as processes, so all are read. */
    async beat({ worker, hostname, pid, startedAt, until, addresses, full = [] }) {
      await database.write(() => {
        const now = clock.now();
        for (const member of all()) if (member.until <= now) members.remove(member.worker);
        members.put(worker, { worker, hostname, pid, startedAt, until, addresses, full });
      });
    },

    async leave(worker) {
      await database.write(() => {
        if (members.has(worker)) members.remove(worker);
      });
    },

    async living() {
      const now = clock.now();
      return all().filter((member) => member.until > now);
    },

    async holdAddress({ address, host, since, until }) {
      return database.write(() => {
        const lease = leaseOf(address);
        if (lease && lease.host !== host && lease.until > clock.now()) return false;
        addresses.put(address, { address, host, since, until });
        return true;
      });
    },

    async releaseAddress(address, host) {
      await database.write(() => {
        if (leaseOf(address)?.host === host) addresses.remove(address);
      });
    },

    async addressLeases() {
      return [...addresses.entries({})].map(({ value }) => addressLeaseOf(value));
    },
  };
}

function addressLeaseOf(stored: unknown): AddressLease {
  const { address, host, since, until } = AddressLeaseSchema.parse(stored);
  return { address, host, since: since as EpochMs, until: until as EpochMs };
}

function memberOf(stored: unknown): FleetMember {
  const { worker, startedAt, until, full, ...rest } = MemberSchema.parse(stored);
  return {
    ...rest,
    ...(full.length > 0
      ? { full: full.map(({ zone, domains }) => ({ zone: zone as ZoneName, domains })) }
      : {}),
    worker: worker as WorkerId,
    startedAt: startedAt as EpochMs,
    until: until as EpochMs,
  };
}
