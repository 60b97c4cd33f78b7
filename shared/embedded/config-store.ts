/**
 * Documents of run-time configuration in LMDB. Versions come from one counter for all documents, so that a document that was
 * removed and made again never has a version that somebody read before.
 */

import * as z from "zod";

import { checkDocumentName, checkKind } from "../domain/stored-name.ts";
import type { ConfigDocument, ConfigStore } from "../ports/config-store.ts";
import type { EmbeddedDatabase } from "./database.ts";

const LAST_VERSION = "config.last-version";

const StoredSchema = z.object({ version: z.number(), value: z.unknown() });

export function embeddedConfigStore({ database }: { database: EmbeddedDatabase }): ConfigStore {
  const documents = database.table("config");

  function read(kind: string, name: string): ConfigDocument | null {
    const stored = documents.get(keyOf(kind, name));
    return stored === undefined ? null : { kind, name, ...StoredSchema.parse(stored) };
  }

  return {
    async get(kind, name) {
      return read(kind, name);
    },

    async list(kind) {
      const prefix = prefixOf(kind);
      const found = documents.entries({ start: prefix, end: `${kind}0` }); // "0" is what follows "/"
      return [...found].map(({ key, value }) => ({
        kind,
        name: String(key).slice(prefix.length),
        ...StoredSchema.parse(value),
      }));
    },

    async put({ kind, name, value }, expected) {
      const key = keyOf(kind, name);
      return database.write((transaction) => {
        if ((read(kind, name)?.version ?? 0) !== expected) return null;
        const version = transaction.count(LAST_VERSION, 1);
        documents.put(key, { version, value });
        return { kind, name, version, value };
      });
    },

    async remove(kind, name) {
      const key = keyOf(kind, name);
      return database.write(() => {
        const there = documents.has(key);
        if (there) documents.remove(key);
        return there;
      });
    },
  };
}

function prefixOf(kind: string): string {
  checkKind(kind);
  return `${kind}/`;
}

function keyOf(kind: string, name: string): string {
  checkDocumentName(name);
  return prefixOf(kind) + name;
}
