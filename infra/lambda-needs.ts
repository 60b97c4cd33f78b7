/** What each Lambda is for, as grants. test/infra/grants.test.ts runs them and fails on what is missing here. */

import type { LambdaName } from "../lambdas/build.ts";
import type { Needs } from "./grants.ts";

/** `secret` holds API keys: every request is let in by one. */
export const LAMBDA_NEEDS: Readonly<Record<LambdaName, Needs>> = {
  send: {
    reads: ["secret", "suppression"],
    writes: ["message", "idempotency"],
    bodies: "write",
    uploads: true,
    signals: "send",
    secret: true,
  },
  queue: { reads: ["secret"], writes: ["message"], queries: true, bodies: "write", signals: "send" },
  suppression: { reads: ["secret"], writes: ["suppression"] },
  zones: { reads: ["secret", "fleet", "message"], writes: ["limit"], queries: true },
  health: { reads: ["secret", "message", "limit"], queries: true },
  sweep: { reads: ["fleet", "limit"], writes: ["message"], queries: true, bodies: "write", signals: "send" },
  events: {
    reads: ["suppression"],
    writes: ["message", "event"],
    bodies: "write",
    signals: "send",
    secret: true,
  },
  "report-again": {
    reads: ["suppression"],
    writes: ["message", "event"],
    bodies: "write",
    signals: "send",
    secret: true,
  },
  notify: { reads: ["message"], writes: ["event"], secret: true },
  "notify-again": { reads: ["message"], writes: ["event"], secret: true },
  "dead-letter": { reads: ["message"] },
  "zone-guard": { reads: ["message"], queries: true },
};
