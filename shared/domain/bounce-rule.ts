/** What rules about replies are made of. The rules are in bounce-texts*.ts and bounce-codes.ts. */

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

export const BOUNCE_ACTIONS = ["reject", "defer", "slowdown"] as const;
/** `reject` bounce now · `defer` try again by the ladder · `slowdown` try again and send slower to that site. */
export type BounceAction = (typeof BOUNCE_ACTIONS)[number];

/** One meaning, and the replies that have it: all the conditions that are given must hold. */
export interface BounceRule {
  /** Unique and lasting: it is in logs and statistics. */
  readonly id: string;
  /** What a 5yz reply does. A 4yz reply does the same, except that `reject` becomes `defer`. */
  readonly action: BounceAction;
  readonly category: BounceCategory;
  /** Subject and detail of the DSN's status (RFC 3463), such as `1.1`, for replies that have none that says anything. */
  readonly status: string;
  /** For the sender of the mail and the operator, in plain words. */
  readonly message: string;
  /** One of these is in the text, as whole words (see phrases.ts). */
  readonly says?: readonly string[];
  /** The enhanced code is one of these, its class left out: `2.2` for 4.2.2 and 5.2.2. */
  readonly enhanced?: readonly string[];
  readonly codes?: readonly number[];
  /** True: it stays a reject where the reply speaks of time too. */
  readonly lasts?: true;
}
