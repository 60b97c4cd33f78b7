/** What a check is and what it may find, and how all are run: some at once, each in bounded time, told in the order they stand. */

import { SECOND } from "#shared/domain/units.ts";
import { slots } from "#shared/runtime/dns/slots.ts";

export interface Verdict {
  /** `skipped`: it was not looked, and `todo` says how it would be. */
  readonly status: "ok" | "warning" | "failure" | "skipped";
  readonly says: string;
  /** Null: nothing. */
  readonly todo: string | null;
}

export interface Check {
  /** What it is about, in a word or two; checks of one topic stand together. */
  readonly topic: string;
  /** Which one: an address, a domain, a part. */
  readonly about: string;
  run(): Promise<Verdict>;
}

export interface Finding extends Verdict {
  readonly topic: string;
  readonly about: string;
}

const MAX_AT_ONCE = 12;
const MAX_CHECKS = 5_000;
/** A check waits for several answers at most, each bounded by itself. */
const CHECK_MS = 45 * SECOND;

/** Never rejects: a check that fails by itself has found nothing, and says so. */
export async function runChecks(checks: readonly Check[]): Promise<Finding[]> {
  const room = slots({ max: MAX_AT_ONCE, maxWaiting: MAX_CHECKS });
  return Promise.all(
    checks.map(async (check) => {
      const { topic, about } = check;
      const verdict = (await room.run(() => inTime(check))) ?? warning("there is too much to check", null);
      return { topic, about, ...verdict };
    }),
  );
}

async function inTime(check: Check): Promise<Verdict> {
  const { promise: late, resolve } = Promise.withResolvers<Verdict>();
  const timer = setTimeout(
    () => resolve(warning(`no answer within ${CHECK_MS / SECOND} seconds`, "Try again.")),
    CHECK_MS,
  );
  try {
    return await Promise.race([check.run(), late]);
  } catch (error) {
    return warning(`it could not be looked at: ${messageOf(error)}`, null);
  } finally {
    clearTimeout(timer);
  }
}

export function ok(says: string): Verdict {
  return { status: "ok", says, todo: null };
}

export function warning(says: string, todo: string | null): Verdict {
  return { status: "warning", says, todo };
}

export function failure(says: string, todo: string): Verdict {
  return { status: "failure", says, todo };
}

export function skipped(says: string, todo: string): Verdict {
  return { status: "skipped", says, todo };
}

/** For what the DNS did not say: nothing is known to be wrong. */
export function noAnswer(detail: string): Verdict {
  return warning(`the DNS gave no answer: ${detail}`, "Try again; if it stays so, look at the name servers.");
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
