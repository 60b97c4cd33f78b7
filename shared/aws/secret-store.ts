/**
 * Secrets in the one table: `k#<kind>`, `<name>`. What is stored for an account or an API key is a hash, good to be kept beside
 * everything else. DKIM keys have to be read again, and are sealed (app/sealer.ts); who cannot seal can neither store nor read one,
 * which is what most Lambdas of the API are to be.
 *
 * The table rather than Secrets Manager: thousands of accounts would be thousands of secrets at a monthly price each, and one call
 * each to read. A grant can still be for `k#…` alone or for all but that (condition on `dynamodb:LeadingKeys`).
 */

import { DeleteItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import * as z from "zod";

import { DomainError } from "../domain/errors.ts";
import { isStorableName, MAX_NAME_BYTES } from "../domain/stored-name.ts";
import { KIB } from "../domain/units.ts";
import type { SecretKind, SecretStore } from "../ports/secret-store.ts";
import { writtenAt } from "./conditions.ts";
import type { TableDeps } from "./items.ts";
import { getItem, itemsOf, marshal } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { KINDS, PARTITION_KEY } from "./keys.ts";
import type { Sealing } from "../ports/sealing.ts";

/** The longest key we would sign with has 4 KiB. */
const MAX_SECRET_BYTES = 64 * KIB;

const SecretSchema = z.object({ SK: z.string(), secret: z.string() });

export interface SecretStoreDeps extends TableDeps {
  readonly sealing: Sealing;
}

export function dynamoSecretStore(deps: SecretStoreDeps): SecretStore {
  const { dynamo, table, sealing } = deps;

  async function itemOf(
    kind: SecretKind,
    name: string,
    value: string,
  ): Promise<ItemKey & { secret: string }> {
    const key = keyOf(kind, name);
    if (!key) throw unusableName(kind);
    if (Buffer.byteLength(value) > MAX_SECRET_BYTES)
      throw new DomainError("too-large", `a secret has at most ${MAX_SECRET_BYTES} bytes`, "value");
    return { ...key, secret: isSealed(kind) ? await sealing.seal(value, `${kind}/${name}`) : value };
  }

  return {
    /** 1 read unit. */
    async get(kind, name) {
      const key = keyOf(kind, name);
      const item = key && (await getItem(deps, key));
      if (!item) return null;
      const { secret } = SecretSchema.parse(item);
      return isSealed(kind) ? sealing.open(secret, `${kind}/${name}`) : secret;
    },

    /** 1 read unit for each 4 KiB of secrets. */
    async list(kind) {
      const items = await Array.fromAsync(itemsOf(deps, partitionOf(kind)));
      // The table sorts names by their bytes; callers expect the order of strings.
      return items.map((item) => SecretSchema.parse(item).SK).toSorted();
    },

    /** 1 write unit for each KiB. */
    async put(kind, name, value) {
      const item = await itemOf(kind, name, value);
      await dynamo.send(new PutItemCommand({ TableName: table, Item: marshal({ ...item }) }));
    },

    /** 1 write unit for each KiB. */
    async add(kind, name, value) {
      const item = await itemOf(kind, name, value);
      const result = await writtenAt(
        deps,
        item,
        dynamo.send(
          new PutItemCommand({
            TableName: table,
            Item: marshal({ ...item }),
            ConditionExpression: `attribute_not_exists(${PARTITION_KEY})`,
            ReturnValuesOnConditionCheckFailure: "ALL_OLD",
          }),
        ),
      );
      // no two are sealed or salted to the same text: this one is ours, and its answer was lost
      return result.kind === "written" || result.item?.["secret"] === item.secret;
    },

    /** 1 read and 1 write unit. Read first, so that a deletion whose answer was lost is not taken for "there was none". */
    async remove(kind, name) {
      const key = keyOf(kind, name);
      if (!key || !(await getItem(deps, key))) return false;
      await dynamo.send(new DeleteItemCommand({ TableName: table, Key: marshal({ ...key }) }));
      return true;
    },
  };
}

/** What has to be read again; of all else there is only a hash. */
function isSealed(kind: SecretKind): boolean {
  return kind === "dkim" || kind === "dkim-domain";
}

function partitionOf(kind: SecretKind): string {
  return KINDS.secret + kind; // DKIM keys of both kinds begin with KINDS.dkim
}

/** Null: no secret can have that name. */
function keyOf(kind: SecretKind, name: string): ItemKey | null {
  return isStorableName(name) ? { PK: partitionOf(kind), SK: name } : null;
}

function unusableName(kind: SecretKind): DomainError {
  return new DomainError(
    "invalid-request",
    `the name cannot be one of a secret (${kind}): use 1 to ${MAX_NAME_BYTES} bytes of text`,
    "name",
  );
}
