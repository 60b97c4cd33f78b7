/** How a rule of the tables of texts is written. */

import type { BounceAction, BounceCategory, BounceRule } from "./bounce-rule.ts";

interface Meaning {
  readonly id: string;
  /** Left out: `reject`. */
  readonly action?: BounceAction;
  readonly category: BounceCategory;
  readonly status: string;
  readonly message: string;
  /** Left out: whatever the codes are. */
  readonly codes?: readonly number[];
  readonly enhanced?: readonly string[];
}

/** `phrases` (see phrases.ts) are separated by bars and line ends. */
export function text(meaning: Meaning, phrases: string): BounceRule {
  const says = phrases.split(/[|\n]/).map((phrase) => phrase.trim());
  return { action: "reject", ...meaning, says: says.filter((phrase) => phrase !== "") };
}
