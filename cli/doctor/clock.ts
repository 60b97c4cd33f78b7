/** Does our clock agree with another one? Leases of senders on AWS, DKIM signatures and API calls count on it. */

import { SECOND } from "#shared/domain/units.ts";

import type { Check, Verdict } from "./check.ts";
import { failure, messageOf, ok, skipped, warning } from "./check.ts";

const ANSWER_MS = 8 * SECOND;
/** Senders allow one another this much (CLOCK_SKEW_MS of shared/aws). */
const MAX_SKEW_MS = 5 * SECOND;

/** `url` null: nobody's clock is known. */
export function clockCheck(url: string | null, now: () => number = Date.now): Check {
  return {
    topic: "clock",
    about: url ?? "here",
    run: () => (url === null ? Promise.resolve(nobody()) : compare(url, now)),
  };
}

function nobody(): Verdict {
  return skipped("our clock was compared with nothing", "Say --clock <URL> of a web server that you trust.");
}

/** Any answer will do, an error too: each has a Date, cut to the second. */
async function compare(url: string, now: () => number): Promise<Verdict> {
  const before = now();
  let date: string | null;
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await fetch(url, { method: "HEAD", redirect: "manual", signal });
    date = response.headers.get("date");
  } catch (error) {
    return warning(`it does not answer: ${messageOf(error)}`, "Say --clock <URL> of another web server.");
  }
  const after = now();
  const theirs = Date.parse(date ?? "");
  if (Number.isNaN(theirs))
    return warning("its answer has no Date", "Say --clock <URL> of another web server.");
  const ahead = Math.max(0, before - (theirs + SECOND));
  const behind = Math.max(0, theirs - after);
  const skew = Math.max(ahead, behind);
  if (skew < SECOND) return ok("our clock agrees with it");
  const says = `our clock is ${(skew / SECOND).toFixed(1)} seconds ${ahead > behind ? "ahead" : "behind"}`;
  const todo = "Have the clock set by NTP (chrony, systemd-timesyncd).";
  return skew > MAX_SKEW_MS ? failure(says, todo) : warning(says, todo);
}
