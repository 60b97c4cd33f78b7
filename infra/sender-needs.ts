/** What a sender host may do in the installation's stores, as grants. Of AWS beyond them: see constructs/sender-hosts.ts. */

import type { Needs } from "./grants.ts";

export const SENDER_NEEDS: Needs = {
  reads: ["secret"],
  // The last four are for the HTTP API that a host has on its loopback, for an operator who is on the host.
  writes: ["message", "limit", "fleet", "idempotency", "suppression", "dkim", "bounce"],
  queries: ["by zone", "by time"],
  bodies: ["read", "put", "put in parts", "delete"],
  signals: "send and receive",
  secret: true,
};
