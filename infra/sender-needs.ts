/** What a sender host may do in the installation's stores, as grants. Of AWS beyond them: see constructs/sender-hosts.ts. */

import type { Needs } from "./grants.ts";

export const SENDER_NEEDS: Needs = {
  reads: ["secret", "suppression", "config"],
  writes: ["message", "limit", "fleet"],
  queries: true,
  bodies: "write",
  signals: "send and receive",
  secret: true,
};
