/**
 * The way back of SRS (domain/srs.ts): mail to an address of ours that stands for a sender, such as the bounce of a host that we sent
 * his mail to, goes on to that sender. Whoever receives mail for our SRS domain hands it in like any other.
 */

import type { Address } from "../domain/address.ts";
import { DomainError } from "../domain/errors.ts";
import type { Srs } from "../domain/srs.ts";
import { srsReverse } from "../domain/srs.ts";
import type { EpochMs } from "../domain/units.ts";

/** Throws for an address that only looks like one of ours: we are nobody's way to send mail to strangers. */
export function srsReturn(recipient: Address, srs: Srs | null, now: EpochMs): Address {
  if (srs === null) return recipient;
  const reversed = srsReverse(recipient, srs, now);
  if (reversed.kind === "refused")
    throw new DomainError("invalid-address", whyRefused(recipient, reversed.reason), "to");
  return reversed.kind === "sender" ? reversed.address : recipient;
}

/** What `srsReturn` would throw, for a client that names recipients one by one. Null: it would not. */
export function srsRefusal(recipient: Address, srs: Srs | null, now: EpochMs): string | null {
  const reversed = srs && srsReverse(recipient, srs, now);
  return reversed?.kind === "refused" ? whyRefused(recipient, reversed.reason) : null;
}

function whyRefused(recipient: Address, reason: "expired" | "forged"): string {
  return reason === "expired"
    ? `The address <${recipient}> was made for a mail that is too old to come back`
    : `The address <${recipient}> was not made by this server`;
}
