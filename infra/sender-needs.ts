/** What a sender host may do in the installation's stores, as grants. Of AWS beyond them: see constructs/sender-hosts.ts. */

import type { Needs } from "./grants.ts";

export const SENDER_NEEDS: Needs = {
  reads: ["secret", "suppression"],
  writes: ["message", "limit", "fleet"],
  queries: ["by zone", "by time"],
  bodies: ["read", "put", "put in parts", "delete"],
  signals: "send and receive",
  secret: true,
};
