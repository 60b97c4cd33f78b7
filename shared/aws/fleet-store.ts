/**
 * The workers of all hosts, and the addresses that hosts hold, in DynamoDB. `f#workers`, `<worker>` says until when a worker is alive;
 * `f#addresses`, `<EHLO name>` which host sends from it, and until when. Its TTL takes away those long gone.
 */

import { DeleteItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import type { WorkerId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import { DAY } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { AddressLease, FleetMember, FleetStore } from "../ports/fleet-store.ts";
import { written } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, itemsOf, marshal } from "./items.ts";
import { KINDS } from "./keys.ts";
import { CLOCK_SKEW_MS } from "./queue-context.ts";

const WORKERS = `${KINDS.fleet}workers`;
const ADDRESSES = `${KINDS.fleet}addresses`;
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

const LeaseSchema = z.object({ SK: z.string(), host: z.string(), since: z.number(), until: z.number() });

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

    /** 1 write unit, also when it is refused. */
    async holdAddress({ address, host, since, until }) {
      const put = new PutItemCommand({
        TableName: table,
        Item: marshal({ PK: ADDRESSES, SK: address, host, since, until, ...expiresAt(until, KEPT_MS) }),
        ConditionExpression: "attribute_not_exists(PK) OR #host = :host OR #until < :over",
        ExpressionAttributeNames: { "#host": "host", "#until": "until" },
        ExpressionAttributeValues: marshal({ ":host": host, ":over": clock.now() - CLOCK_SKEW_MS }),
      });
      return (await written(dynamo.send(put))).kind === "written";
    },

    /** 1 write unit. */
    async releaseAddress(address, host) {
      const remove = new DeleteItemCommand({
        TableName: table,
        Key: marshal({ PK: ADDRESSES, SK: address }),
        ConditionExpression: "#host = :host",
        ExpressionAttributeNames: { "#host": "host" },
        ExpressionAttributeValues: marshal({ ":host": host }),
      });
      await written(dynamo.send(remove));
    },

    /** 1 read unit for about 40 addresses. */
    async addressLeases() {
      return (await Array.fromAsync(itemsOf(deps, ADDRESSES))).map(leaseOf);
    },
  };
}

function leaseOf(item: Readonly<Record<string, Value>>): AddressLease {
  const { SK: address, host, since, until } = LeaseSchema.parse(item);
  return { address, host, since: since as EpochMs, until: until as EpochMs };
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
