/**
 * What an SMTP reply means for the recipient: bounce now, try again, or try again and send slower; with the reason in one word
 * and in a sentence. The rules are data: bounce-texts*.ts (what peers say), bounce-codes.ts (what codes say).
 * An operator's own come before them (own-bounce-rules.ts).
 *
 * Three invariants hold whatever the rules are:
 * 1. A 4yz reply is never a reject (RFC 5321 §4.2.1).
 * 2. A 5yz reply is one unless its words say that time, a slower pace or another egress address may change the peer's mind.
 * 3. What the reply quotes of the mail (addresses) is not read, or mail to `spam@…` would bounce as spam.
 */

import { CODE_RULES, FALLBACK_RULES } from "./bounce-codes.ts";
import type { BounceAction, BounceCategory, BounceRule } from "./bounce-rule.ts";
import { phrasesOf } from "./bounce-text.ts";
import { VAGUE_TEXT_RULES } from "./bounce-texts-vague.ts";
import { TEXT_RULES } from "./bounce-texts.ts";
import { IN_TIME } from "./bounce-words.ts";
import { phraseIndex, wordsOf } from "./phrases.ts";
import type { SmtpReply } from "./smtp-reply.ts";
import { replyClass } from "./smtp-reply.ts";

export interface BounceClass {
  readonly action: BounceAction;
  readonly category: BounceCategory;
  readonly message: string;
  /** Status for a DSN: class 5 for a reject, else 4. */
  readonly status: string;
  /** Id of the rule that decided. */
  readonly rule: string;
}

/** In order of precedence: the first that holds decides. */
export const BOUNCE_RULES: readonly BounceRule[] = [
  ...TEXT_RULES,
  ...CODE_RULES,
  ...VAGUE_TEXT_RULES,
  ...FALLBACK_RULES,
];

/** Codes of class 4 and 5 only; what else a peer says where it should not is for the caller to judge. */
export function classify(reply: SmtpReply): BounceClass {
  const given = detailOf(reply);
  const words = wordsOf(reply.text);
  const rule = BOUNCE_RULES[firstRule(reply, given, words)] ?? UNKNOWN;
  const passes = rule.action === "reject" && replyClass(reply) === 5 && saysThatItPasses(rule, words);
  const action = rule.action === "reject" && (passes || replyClass(reply) !== 5) ? "defer" : rule.action;
  const detail = given === null || given === "0.0" ? rule.status : given;
  return {
    action,
    category: rule.category,
    message: rule.message,
    status: `${action === "reject" ? 5 : 4}.${detail}`,
    rule: passes ? FOR_NOW : rule.id,
  };
}

/** True: it was the reply's words that decided, and not its codes. */
export function isTextRule(id: string): boolean {
  return id === FOR_NOW || BOUNCE_RULES.some((rule) => rule.id === id && rule.says !== undefined);
}

const QUOTED_STATUS = /#([45])\.(\d{1,3}\.\d{1,3})(?!\d)/;

/** For a code that is neither 4yz nor 5yz. */
const UNKNOWN: BounceRule = {
  id: "unknown",
  action: "defer",
  category: "protocol",
  status: "5.0",
  message: "The receiving server gave an answer that makes no sense here.",
};

/** In place of the id of the rule that would have rejected. */
const FOR_NOW = "for-now";

/** What is wrong with the mail itself is so tomorrow, also where a peer adds "try again later". */
const LASTING: ReadonlySet<BounceCategory> = new Set(["message", "spam", "virus"]);

const TIME = phraseIndex([phrasesOf(IN_TIME)]);
const PHRASES = phraseIndex(BOUNCE_RULES.map((rule) => rule.says ?? []));
const BY_ENHANCED = indexOf((rule) => (rule.says ? [] : (rule.enhanced ?? [])));
const BY_CODE = indexOf((rule) => (rule.says || rule.enhanced ? [] : (rule.codes ?? [])));

function saysThatItPasses(rule: BounceRule, words: string): boolean {
  if (LASTING.has(rule.category) || rule.lasts === true) return false;
  return TIME.first(words, () => true) !== -1;
}

/** Index of the first rule that holds; -1: none. */
function firstRule(reply: SmtpReply, detail: string | null, words: string): number {
  const holds = (index: number): boolean => {
    const { enhanced, codes } = BOUNCE_RULES[index] as BounceRule;
    if (codes && !codes.includes(reply.code)) return false;
    return !enhanced || (detail !== null && enhanced.includes(detail));
  };
  const candidates = [...(BY_ENHANCED.get(detail ?? "") ?? []), ...(BY_CODE.get(reply.code) ?? [])].filter(
    holds,
  );
  const byCode = Math.min(...candidates, BOUNCE_RULES.length);
  const byText = PHRASES.first(words, (index) => index < byCode && holds(index));
  if (byText !== -1) return byText;
  return byCode < BOUNCE_RULES.length ? byCode : -1;
}

/** `1.1` of `5.1.1`, also where it is in the text, as qmail writes it: `(#5.1.1)`. Null: there is none. */
export function detailOf(reply: SmtpReply): string | null {
  if (reply.enhanced !== null) return reply.enhanced.slice(2);
  const quoted = reply.text.includes("#") ? QUOTED_STATUS.exec(reply.text) : null;
  return quoted && Number(quoted[1]) === replyClass(reply) ? (quoted[2] ?? null) : null;
}

function indexOf<K>(keysOf: (rule: BounceRule) => readonly K[]): Map<K, number[]> {
  const index = new Map<K, number[]>();
  for (const [i, rule] of BOUNCE_RULES.entries()) {
    for (const key of keysOf(rule)) index.set(key, [...(index.get(key) ?? []), i]);
  }
  return index;
}
