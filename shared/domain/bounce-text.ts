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
  readonly lasts?: true;
}

/** See phrases.ts for what a phrase is; they are separated by bars and line ends. */
export function phrasesOf(phrases: string): string[] {
  const all = phrases.split(/[|\n]/).map((phrase) => phrase.trim());
  return all.filter((phrase) => phrase !== "");
}

export function text(meaning: Meaning, phrases: string): BounceRule {
  return { action: "reject", ...meaning, says: phrasesOf(phrases) };
}
