/** What each Lambda is for, as grants. test/infra/grants.test.ts runs them and fails on what is missing here. */

import type { LambdaName } from "../lambdas/build.ts";
import type { Needs } from "./grants.ts";

/** `secret` holds API keys: every request is let in by one. */
export const LAMBDA_NEEDS: Readonly<Record<LambdaName, Needs>> = {
  send: {
    reads: ["secret", "suppression"],
    writes: ["message", "idempotency", "dkim", "limit"], // plugins count under keys of limits
    bodies: ["put", "put in parts", "delete"],
    uploads: true,
    signals: "send",
    secret: true,
  },
  queue: {
    reads: ["secret"],
    writes: ["message"],
    queries: ["by zone"],
    bodies: ["read", "delete"],
    signals: "send",
  },
  suppression: { reads: ["secret"], writes: ["suppression"] },
  zones: { reads: ["secret", "fleet"], writes: ["limit"] },
  health: { reads: ["secret", "message"], writes: ["bounce", "limit"], queries: ["by zone"] }, // tries of logins are counted
  sweep: {
    reads: ["fleet", "limit"],
    writes: ["message"],
    queries: ["by zone", "by time"],
    bodies: ["delete"],
    signals: "send",
  },
  events: {
    reads: ["suppression"],
    writes: ["message", "event"],
    bodies: ["read", "put", "delete"],
    signals: "send",
  },
  // The signals of its reports are sent by `events`, which sees them in the stream.
  "report-again": {
    reads: ["suppression"],
    writes: ["message", "event"],
    bodies: ["read", "put", "delete"],
  },
  notify: { writes: ["event"], secret: true },
  "notify-again": { writes: ["event"], secret: true },
  "dead-letter": { reads: ["message"] },
  "zone-guard": { reads: ["message"], queries: ["by zone"] },
};
