/**
 * What stands in the one secret of a deployment: a JSON object with the key that secrets in the store are sealed with, which is made
 * with the secret and never changes, and with what is secret in the configuration, by name (domain/config-secrets.ts).
 */

import * as z from "zod";

import type { ConfigSecrets } from "../domain/config-secrets.ts";
import { DomainError } from "../domain/errors.ts";

/** Less could be guessed. */
const MIN_SEAL_KEY_CHARS = 32;
/** Of a key that is made here. */
const SEAL_KEY_BYTES = 32;

/** What a later version adds stays in it. */
const DocumentSchema = z.looseObject({
  sealKey: z.string().min(MIN_SEAL_KEY_CHARS).optional(),
  config: z.record(z.string(), z.string()).default({}),
});
export type SecretDocument = z.output<typeof DocumentSchema>;

/** Throws an error that shows nothing of it. */
export function readDocument(text: string, name: string): SecretDocument {
  const parsed = DocumentSchema.safeParse(jsonOf(text));
  if (parsed.success) return parsed.data;
  const shape = `a JSON object with sealKey (${MIN_SEAL_KEY_CHARS} characters or more) and config`;
  throw new DomainError("invalid-config", `what is in the secret ${name} is not ${shape}`);
}

export function printDocument(document: SecretDocument): string {
  return JSON.stringify(document);
}

/** Names of secrets, by what writing them would do. */
export interface Push {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly same: readonly string[];
  /** Of no use to this configuration; processes that run on the one before may still need them. */
  readonly left: readonly string[];
}

export function comparePush(document: SecretDocument, secrets: ConfigSecrets): Push {
  const stored = new Map(Object.entries(document.config));
  const names = [...secrets.keys()];
  return {
    added: names.filter((name) => !stored.has(name)),
    changed: names.filter((name) => stored.has(name) && stored.get(name) !== secrets.get(name)),
    same: names.filter((name) => stored.has(name) && stored.get(name) === secrets.get(name)),
    left: [...stored.keys()].filter((name) => !secrets.has(name)),
  };
}

export interface PushOptions {
  /** True: what the configuration has no use for is taken out. */
  readonly prune: boolean;
  readonly random: (bytes: number) => Buffer;
}

/** The document with these secrets, and with the seal key that it has; one is made where there is none. */
export function pushed(
  document: SecretDocument,
  secrets: ConfigSecrets,
  { prune, random }: PushOptions,
): SecretDocument {
  const fresh = Object.fromEntries(secrets);
  return {
    ...document,
    sealKey: document.sealKey ?? random(SEAL_KEY_BYTES).toString("hex"),
    config: prune ? fresh : { ...document.config, ...fresh },
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // the parser's words would show a piece of it
  }
}
