/** A POST to a receiver that an operator named: once, in bounded time, no redirect followed, little of the answer read. */

import type { Post } from "../app/notify.ts";
import { KIB, SECOND } from "../domain/units.ts";
import { withoutCredentials } from "./http-ask.ts";

export interface PostLimits {
  /** From connecting to the last byte of the answer that is read. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10 * SECOND;
/** An answer is read so far only for its connection to be of use again. */
const MAX_ANSWER_BYTES = 64 * KIB;

export function httpPost({ timeoutMs = TIMEOUT_MS }: PostLimits = {}): Post {
  return async ({ url, headers, body }, signal) => {
    const { target, authorization } = withoutCredentials(url);
    try {
      const response = await fetch(target, {
        method: "POST",
        headers: { "user-agent": "ZoneFleet", ...headers, ...authorization },
        body,
        redirect: "manual", // who answers elsewhere was not named by the operator
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      await readSome(response);
      return { kind: "answered", status: response.status };
    } catch (error) {
      return { kind: "failed", detail: reasonOf(error) };
    }
  };
}

async function readSome({ body }: Response): Promise<void> {
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > MAX_ANSWER_BYTES) return; // leaving the loop closes the connection
  }
}

/** `fetch failed` says nothing; what it says is in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (cause instanceof Error) return (cause as NodeJS.ErrnoException).code ?? cause.message;
  return error.name === "TimeoutError" ? "it did not answer in time" : error.message;
}
