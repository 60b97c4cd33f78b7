/** The workers of all hosts in DynamoDB: `f#workers`, `<worker>` says until when it is alive. Its TTL takes away those long gone. */

import { DeleteItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import type { WorkerId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import { DAY } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { FleetMember, FleetStore } from "../ports/fleet-store.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, itemsOf, marshal } from "./items.ts";
import { KINDS } from "./keys.ts";

const WORKERS = `${KINDS.fleet}workers`;
/** For an operator who looks for a host that died in the night. */
const KEPT_MS = DAY;

const MemberSchema = z.object({
  SK: z.string(),
  hostname: z.string(),
  pid: z.number(),
  startedAt: z.number(),
  until: z.number(),
  addresses: z.array(z.string()),
  full: z.array(z.object({ zone: z.string(), domains: z.array(z.string()) })).default([]),
});

export function dynamoFleetStore(deps: TableDeps): FleetStore {
  const { dynamo, table, clock } = deps;
  return {
    /** 1 write unit. */
    async beat({ worker, hostname, pid, startedAt, until, addresses, full = [] }) {
      const key = { PK: WORKERS, SK: worker };
      const Item = marshal({
        ...key,
        hostname,
        pid,
        startedAt,
        until,
        addresses,
        full: full.map(({ zone, domains }) => ({ zone, domains })),
        ...expiresAt(until, KEPT_MS),
      });
      await dynamo.send(new PutItemCommand({ TableName: table, Item }));
    },

    /** 1 write unit. */
    async leave(worker) {
      await dynamo.send(
        new DeleteItemCommand({ TableName: table, Key: marshal({ PK: WORKERS, SK: worker }) }),
      );
    },

    /** 1 read unit for about 20 workers. */
    async living() {
      const now = clock.now();
      const members = (await Array.fromAsync(itemsOf(deps, WORKERS))).map(memberOf);
      return members.filter(({ until }) => until > now);
    },
  };
}

function memberOf(item: Readonly<Record<string, Value>>): FleetMember {
  const { SK: worker, startedAt, until, full, ...rest } = MemberSchema.parse(item);
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
