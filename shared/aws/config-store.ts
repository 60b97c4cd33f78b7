/**
 * Documents of run-time configuration in DynamoDB: `c#<kind>`, `<name>`, the value as JSON text. Versions come from one counter
 * (`c#`, `last-version`), so that a document that was removed and made again never has a version that somebody read before; a
 * number that is counted and not used does no harm.
 */

import { DeleteItemCommand, PutItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import { DomainError } from "../domain/errors.ts";
import { checkDocumentName, checkKind } from "../domain/stored-name.ts";
import { KIB } from "../domain/units.ts";
import type { ConfigDocument, ConfigStore } from "../ports/config-store.ts";
import { writtenAt, written } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { getItem, itemsOf, marshal, MAX_TRIES, unmarshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS } from "./keys.ts";

/** An item has 400 KB at most, names and numbers included. */
const MAX_VALUE_BYTES = 380 * KIB;
const COUNTER: ItemKey = { PK: KINDS.config, SK: "last-version" };

const StoredSchema = z.object({ SK: z.string(), version: z.number(), value: z.string() });

export function dynamoConfigStore(deps: TableDeps): ConfigStore {
  const { dynamo, table } = deps;

  async function read(kind: string, name: string): Promise<ConfigDocument | null> {
    const item = await getItem(deps, keyOf(kind, name));
    return item && documentOf(kind, item);
  }

  async function nextVersion(): Promise<number> {
    const { Attributes } = await dynamo.send(
      new UpdateItemCommand({
        TableName: table,
        Key: marshal({ ...COUNTER }),
        UpdateExpression: "ADD #last :one",
        ExpressionAttributeNames: { "#last": "last" },
        ExpressionAttributeValues: marshal({ ":one": 1 }),
        ReturnValues: "UPDATED_NEW",
      }),
    );
    return z.object({ last: z.number() }).parse(unmarshal(Attributes ?? {})).last;
  }

  return {
    /** 1 read unit for each 4 KiB. */
    get: read,

    /** 1 read unit for each 4 KiB of documents. */
    async list(kind) {
      const items = await Array.fromAsync(itemsOf(deps, partitionOf(kind)));
      return items.map((item) => documentOf(kind, item));
    },

    /** 1 write unit to count and 1 for each KiB. */
    async put({ kind, name, value }, expected) {
      const key = keyOf(kind, name);
      const json = jsonOf(value);
      const version = await nextVersion();
      const result = await writtenAt(
        deps,
        key,
        dynamo.send(
          new PutItemCommand({
            TableName: table,
            Item: marshal({ ...key, version, value: json }),
            ReturnValuesOnConditionCheckFailure: "ALL_OLD",
            ...(expected === 0 ? NOT_THERE : stillAt(expected)),
          }),
        ),
      );
      // A put whose answer was lost is sent again, and finds its own version there.
      const isOurs = result.kind === "written" || result.item?.["version"] === version;
      return isOurs ? { kind, name, version, value } : null;
    },

    /** 1 read unit and 1 write unit for each KiB. */
    async remove(kind, name) {
      const key = keyOf(kind, name);
      for (let tried = 0; tried < MAX_TRIES; tried++) {
        const document = await read(kind, name);
        // Gone at the second look: by a rival, or by our own write whose answer was lost.
        if (!document) return tried > 0;
        const { kind: result } = await written(
          dynamo.send(
            new DeleteItemCommand({
              TableName: table,
              Key: marshal({ ...key }),
              ...stillAt(document.version),
            }),
          ),
        );
        if (result === "written") return true;
      }
      throw new Error(`the document ${kind}/${name} changes too fast to be removed`);
    },
  };
}

const NOT_THERE = { ConditionExpression: "attribute_not_exists(PK)" } as const;

function stillAt(version: number) {
  return {
    ConditionExpression: "#version = :expected",
    ExpressionAttributeNames: { "#version": "version" },
    ExpressionAttributeValues: marshal({ ":expected": version }),
  };
}

function documentOf(kind: string, item: Readonly<Record<string, Value>>): ConfigDocument {
  const { SK: name, version, value } = StoredSchema.parse(item);
  return { kind, name, version, value: JSON.parse(value) as unknown };
}

function jsonOf(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new DomainError("invalid-request", "a document is a JSON value", "value");
  if (Buffer.byteLength(json) > MAX_VALUE_BYTES)
    throw new DomainError("too-large", `a document has at most ${MAX_VALUE_BYTES} bytes of JSON`, "value");
  return json;
}

function partitionOf(kind: string): string {
  checkKind(kind);
  return KINDS.config + kind;
}

function keyOf(kind: string, name: string): ItemKey {
  checkDocumentName(name);
  return { PK: partitionOf(kind), SK: name };
}
