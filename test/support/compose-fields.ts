/** Mail composed of the fields of `POST /send`, as its tests read it. */

import assert from "node:assert/strict";

import type { Composed } from "#shared/app/send-json.ts";
import { composeFields } from "#shared/app/send-json.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { HeaderList } from "#shared/domain/headers.ts";
import { firstValue, parseHeaders } from "#shared/domain/headers.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { DAY } from "#shared/domain/units.ts";

/** The time at which tests compose. */
export const now = Date.UTC(2026, 10, 20, 12) as EpochMs;
const limits = { now, maxDelayMs: 7 * DAY };
/** A mail of few words, to be changed. */
export const simple = { from: "anna@example.com", to: "ben@example.net", subject: "hello", text: "hi" };

export const compose = (fields: object): Composed => composeFields(fields, limits);

export async function textOf({ source }: Composed): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

export async function headersOf(fields: object): Promise<HeaderList> {
  return parseHeaders(Buffer.from(await textOf(compose(fields))));
}

export async function headerOf(fields: object, name: string): Promise<string | null> {
  return firstValue(await headersOf(fields), name);
}

/** That the fields are refused with this code, and this path in the answer. */
export function refused(fields: unknown, code: string, path: string | null): void {
  assert.throws(
    () => composeFields(fields, limits),
    (error) => {
      assert.ok(error instanceof DomainError, String(error));
      assert.deepEqual({ code: error.code, path: error.path }, { code, path }, error.message);
      return true;
    },
  );
}
