/** The workers of this machine in LMDB: a member is a row that says until when it is alive. */

import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import type { WorkerId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { FleetMember, FleetStore } from "../ports/fleet-store.ts";
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

export function embeddedFleetStore({
  database,
  clock,
}: {
  database: EmbeddedDatabase;
  clock: Clock;
}): FleetStore {
  const members = database.table("fleet");

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
  };
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
