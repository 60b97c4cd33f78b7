/**
 * Logins by HTTP Basic auth against the SMTP accounts, for who tries `core/http-auth` out (`GET /test-auth`). They cost and wait as much
 * as logins by SMTP, and are counted over all processes, for any number of Lambdas may be asked at once: so this is no better place
 * to guess passwords.
 */

import type { Clock } from "../domain/clock.ts";
import { SECOND } from "../domain/units.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import { basicCredentials } from "./basic-auth.ts";
import type { CheckCredentials } from "./credentials.ts";
import { FAILURE_DELAY_MS } from "./credentials.ts";

/** As many as a process of a feeder can check. */
export const MAX_LOGINS_A_SECOND = 10;
const COUNTED_AS = "test-auth";

/** `missing`: there is none · `busy`: too many ask at once, try again later. */
export type TestedLogin = { kind: "right" | "wrong"; user: string } | { kind: "missing" | "busy" };

/** `authorization` is the header of that name. Throws when the stores do. */
export async function testLogin(
  {
    check,
    limits,
    clock,
  }: {
    check: CheckCredentials;
    limits: Pick<LimitStore, "countInWindow">;
    clock: Pick<Clock, "sleep">;
  },
  authorization: string | undefined,
): Promise<TestedLogin> {
  const credentials = authorization === undefined ? null : basicCredentials(authorization);
  if (credentials === null) return { kind: "missing" };
  if ((await limits.countInWindow(COUNTED_AS, SECOND)) > MAX_LOGINS_A_SECOND) return { kind: "busy" };
  const answer = await check(credentials);
  if (answer === "busy") return { kind: "busy" };
  if (answer !== "wrong") return { kind: "right", user: answer.user };
  await clock.sleep(FAILURE_DELAY_MS);
  return { kind: "wrong", user: credentials.user };
}
