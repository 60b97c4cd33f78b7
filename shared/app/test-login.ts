/**
 * Logins by HTTP Basic auth against the SMTP accounts, for who tries `core/http-auth` out (`GET /test-auth`). They cost and wait as much
 * as logins by SMTP, so that this is no better place to guess passwords.
 */

import type { Clock } from "../domain/clock.ts";
import { basicCredentials } from "./basic-auth.ts";
import type { CheckCredentials } from "./credentials.ts";
import { FAILURE_DELAY_MS } from "./credentials.ts";

/** `missing`: there is none · `busy`: too many ask at once, try again later. */
export type TestedLogin = { kind: "right" | "wrong"; user: string } | { kind: "missing" | "busy" };

/** `authorization` is the header of that name. Throws when the accounts cannot be read. */
export async function testLogin(
  { check, clock }: { check: CheckCredentials; clock: Pick<Clock, "sleep"> },
  authorization: string | undefined,
): Promise<TestedLogin> {
  const credentials = authorization === undefined ? null : basicCredentials(authorization);
  if (credentials === null) return { kind: "missing" };
  const answer = await check(credentials);
  if (answer === "busy") return { kind: "busy" };
  if (answer !== "wrong") return { kind: "right", user: answer.user };
  await clock.sleep(FAILURE_DELAY_MS);
  return { kind: "wrong", user: credentials.user };
}
