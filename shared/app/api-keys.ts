/**
 * API keys: `<id>.<secret>`, kept as a hash of the secret under the id. The secret is 256 bits of chance, so one round of SHA-256
 * is enough: there is nothing to guess. Keys are looked up again after `KEY_TTL_MS`: so long may a removed key still open.
 */

import { createHash, timingSafeEqual } from "node:crypto";

import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import { DomainError } from "../domain/errors.ts";
import type { EpochMs } from "../domain/units.ts";
import { SECOND } from "../domain/units.ts";
import type { SecretStore } from "../ports/secret-store.ts";

/** What a key may do; `admin` may all. */
export const KEY_SCOPES = ["send", "read", "admin"] as const;
export type KeyScope = (typeof KEY_SCOPES)[number];

export interface ApiKey {
  readonly id: string;
  readonly scopes: readonly KeyScope[];
  /** What it is for, in its owner's words; empty: not said. */
  readonly label: string;
  readonly createdAt: EpochMs;
}

/** A store holds `{ hash, scopes, created, label }` for a key id. */
const StoredKey = z.object({
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  scopes: z.array(z.enum(KEY_SCOPES)).min(1),
  created: z.number(),
  label: z.string(),
});

const KEY_TEXT = /^([0-9a-f]{12})\.([A-Za-z0-9_-]{43})$/;
const ID_BYTES = 6;
const SECRET_BYTES = 32;
const MAX_LABEL = 100;
export const KEY_TTL_MS = 5 * SECOND;
/** Ids remembered; strangers' guesses only push each other out. */
const MAX_CACHED_KEYS = 1_000;

/** Make a key and store it. `key` is shown to its owner now and never again. */
export async function addApiKey(
  {
    secrets,
    clock,
    random,
  }: { secrets: SecretStore; clock: Pick<Clock, "now">; random: (bytes: number) => Buffer },
  { scopes, label }: { scopes: readonly string[]; label: string },
): Promise<{ id: string; key: string }> {
  const known = KEY_SCOPES.filter((scope) => scopes.includes(scope));
  const unknown = scopes.find((scope) => !(KEY_SCOPES as readonly string[]).includes(scope));
  if (unknown !== undefined || known.length === 0) {
    const text = `give one or more of the scopes ${KEY_SCOPES.join(", ")}, separated by commas`;
    throw new DomainError(
      "invalid-request",
      unknown === undefined ? text : `${unknown} is no scope: ${text}`,
      "scope",
    );
  }
  if (label.length > MAX_LABEL || /\p{Cc}/u.test(label)) {
    throw new DomainError(
      "invalid-request",
      `a label has at most ${MAX_LABEL} characters, on one line`,
      "label",
    );
  }
  const id = random(ID_BYTES).toString("hex");
  const secret = random(SECRET_BYTES).toString("base64url");
  const stored: z.output<typeof StoredKey> = {
    hash: hashOf(secret).toString("hex"),
    scopes: known,
    created: clock.now(),
    label,
  };
  await secrets.put("api-key", id, JSON.stringify(stored));
  return { id, key: `${id}.${secret}` };
}

export async function listApiKeys(secrets: SecretStore): Promise<ApiKey[]> {
  const keys: ApiKey[] = [];
  for (const id of await secrets.list("api-key")) {
    const found = await loadKey(secrets, id);
    if (found) keys.push(found.key);
  }
  return keys;
}

/** False: there was none. */
export async function removeApiKey(secrets: SecretStore, id: string): Promise<boolean> {
  return secrets.remove("api-key", id);
}

/** Keys as the front door checks them. */
export interface ApiKeyRing {
  /** The key whose id and secret these are; null: no such key, or another secret. */
  verify(text: string): Promise<ApiKey | null>;
  /** True: at least one key is stored. */
  hasKeys(): Promise<boolean>;
}

interface LoadedKey {
  readonly key: ApiKey;
  readonly hash: Buffer;
}

export function apiKeyRing({
  secrets,
  clock,
}: {
  secrets: SecretStore;
  clock: Pick<Clock, "now">;
}): ApiKeyRing {
  const cached = new Map<string, { until: number; found: LoadedKey | null }>();
  let any: { until: number; value: boolean } | null = null;

  async function load(id: string): Promise<LoadedKey | null> {
    const hit = cached.get(id);
    if (hit && hit.until > clock.now()) return hit.found;
    const found = await loadKey(secrets, id);
    cached.delete(id);
    if (cached.size >= MAX_CACHED_KEYS) cached.delete(cached.keys().next().value as string);
    cached.set(id, { until: clock.now() + KEY_TTL_MS, found });
    return found;
  }

  return {
    async verify(text) {
      const match = KEY_TEXT.exec(text);
      if (!match) return null;
      const found = await load(match[1] as string);
      const given = hashOf(match[2] as string);
      return found && timingSafeEqual(found.hash, given) ? found.key : null;
    },
    async hasKeys() {
      if (any === null || any.until <= clock.now()) {
        any = { until: clock.now() + KEY_TTL_MS, value: (await secrets.list("api-key")).length > 0 };
      }
      return any.value;
    },
  };
}

/** Null: no such key, or what is stored is no key: it then opens nothing. */
async function loadKey(secrets: SecretStore, id: string): Promise<LoadedKey | null> {
  const text = await secrets.get("api-key", id);
  const stored = text === null ? null : StoredKey.safeParse(parseJson(text)).data;
  if (!stored) return null;
  const { hash, scopes, created, label } = stored;
  return { key: { id, scopes, label, createdAt: created as EpochMs }, hash: Buffer.from(hash, "hex") };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function hashOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
