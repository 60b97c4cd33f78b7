/** The recorded requests (test/data/recorded-requests.json): every route of the API, asked well and wrongly, in an order that makes sense. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import { putAccount } from "#shared/app/accounts.ts";
import { addApiKey } from "#shared/app/api-keys.ts";
import { DAY } from "#shared/domain/units.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

export interface Recorded {
  readonly name: string;
  readonly method: string;
  /** `{{name}}` stands for an id or a cursor that was remembered. */
  readonly path: string;
  /** Scope of the key it comes with, or a key that is none; null: it comes without; left out: `admin`. */
  readonly key?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly raw?: string;
  /** The id in the answer is remembered by this name. */
  readonly remember?: string;
  /** The cursor in the answer is remembered by this name. */
  readonly rememberCursor?: string;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
}

export const RECORDED = JSON.parse(
  readFileSync(new URL("../data/recorded-requests.json", import.meta.url), "utf8"),
) as readonly Recorded[];
/** Of the mail configuration that they were recorded with. */
export const RECORDED_CONFIG = { hostname: "mail.example", zones: { bulk: { disabled: true } } };

/** A key of each scope. */
export async function keysIn(secrets: SecretStore): Promise<ReadonlyMap<string, string>> {
  const keys = new Map<string, string>();
  for (const scope of ["send", "read", "admin"]) {
    const added = await addApiKey(
      { secrets, clock: systemClock, random: randomBytes },
      { scopes: [scope], label: "" },
    );
    keys.set(scope, added.key);
  }
  return keys;
}

/** The account whose login was recorded. */
export async function addRecordedAccount(secrets: SecretStore): Promise<void> {
  await putAccount({ secrets, randomBytes }, { user: "anna", password: "a password" });
}

/** Asks what was recorded, with what was remembered of the answers before it. */
export function asker<Answer extends { readonly text: string }>(
  keys: ReadonlyMap<string, string>,
  ask: (asked: Asked) => Promise<Answer>,
): (recorded: Recorded) => Promise<Answer> {
  const tomorrow = new Date(Date.now() + DAY).toISOString();
  const remembered = new Map([["tomorrow", tomorrow]]);
  const fill = (text: string): string =>
    text.replaceAll(/\{\{(.+?)\}\}/g, (_, name: string) => remembered.get(name) ?? assert.fail(name));
  return async ({ method, path, key = "admin", headers = {}, body, raw, remember, rememberCursor }) => {
    const answer = await ask({
      method,
      path: fill(path),
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${keys.get(key) ?? key}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? (raw ?? null) : fill(JSON.stringify(body)),
    });
    if (remember !== undefined) remembered.set(remember, idIn(answer.text));
    if (rememberCursor !== undefined) remembered.set(rememberCursor, cursorIn(answer.text));
    return answer;
  };
}

function idIn(text: string): string {
  return /"id":"([^"]+)"/.exec(text)?.[1] ?? assert.fail(`no id in ${text}`);
}

function cursorIn(text: string): string {
  return /"cursor":"([^"]+)"/.exec(text)?.[1] ?? assert.fail(`no cursor in ${text}`);
}
