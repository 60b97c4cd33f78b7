/** What a reply means: see classify. Types first; the rules are data in bounce-rules.ts. */

/** The peer's reason in one word. The first 18 are ZoneMTA's; the rest name what has no reply. */
export const BOUNCE_CATEGORIES = [
  "auth",
  "blacklist",
  "block",
  "capacity",
  "config",
  "dmarc",
  "envelope",
  "greylist",
  "message",
  "network",
  "other",
  "policy",
  "protocol",
  "rate",
  "recipient",
  "sender",
  "spam",
  "virus",
  "dns",
] as const;
export type BounceCategory = (typeof BOUNCE_CATEGORIES)[number];

/** `reject` bounce now · `defer` try again by the ladder · `slowdown` try again and send slower to that site. */
export type BounceAction = "reject" | "defer" | "slowdown";
