/**
 * Bounce rules of an operator, which are asked before ours. They decide alone: what an operator writes down is done, also where
 * ours would never bounce for a 4yz reply. How they stand in a file is shared/runtime/bounce-rules-file.ts.
 */

import type { BounceClass } from "./bounce-class.ts";
import type { BounceAction, BounceCategory } from "./bounce-rule.ts";
import { classify, detailOf } from "./bounce-class.ts";
import { patternSet } from "./pattern-match.ts";
import { compilePattern } from "./pattern.ts";
import type { SmtpReply } from "./smtp-reply.ts";
import { printReply } from "./smtp-reply.ts";

/** All the conditions that are not null must hold; one at least is not. */
export interface OwnBounceRule {
  /** Where it stands, such as `bounces.txt:12`: it is in logs. */
  readonly id: string;
  /** Is somewhere in the reply as printed: `550 5.1.1 No such user`, all lines joined. See pattern.ts. */
  readonly pattern: string | null;
  readonly codes: readonly number[] | null;
  /** With their class: `5.7.1`. */
  readonly enhanced: readonly string[] | null;
  readonly action: BounceAction;
  readonly category: BounceCategory;
  readonly message: string;
  /** Subject and detail of the DSN's status, such as `7.1`; null: what the reply says, or ours would. */
  readonly status: string | null;
}

export type Classify = (reply: SmtpReply) => BounceClass;

/** Rules are tried together, so that many cost little more than few; the bound is for the file of a mistake. */
export const MAX_OWN_RULES = 2_000;

/** Throws a `PatternError` for a pattern that cannot be used. */
export function classifierWith(own: readonly OwnBounceRule[]): Classify {
  if (own.length === 0) return classify;
  const withPattern = own.filter(({ pattern }) => pattern !== null);
  const patterns = patternSet(withPattern.map(({ pattern }) => compilePattern(pattern as string)));
  return (reply) => {
    const matching = new Set(patterns.matching(printReply(reply)).map((i) => withPattern[i]));
    const rule = own.find((one) => (one.pattern === null || matching.has(one)) && fits(one, reply));
    const ours = classify(reply);
    return rule ? judged(rule, reply, ours) : ours;
  };
}

/** The rules in use, which an operator may change while mail is sent. */
export interface BounceRules {
  readonly classify: Classify;
  /** From the next reply on. Throws a `PatternError`, and then the old rules stay. */
  replace(own: readonly OwnBounceRule[]): void;
}

export function bounceRules(own: readonly OwnBounceRule[]): BounceRules {
  let current = classifierWith(own);
  return {
    classify: (reply) => current(reply),
    replace(next) {
      current = classifierWith(next);
    },
  };
}

function fits({ codes, enhanced }: OwnBounceRule, reply: SmtpReply): boolean {
  if (codes && !codes.includes(reply.code)) return false;
  return !enhanced || (reply.enhanced !== null && enhanced.includes(reply.enhanced));
}

function judged(rule: OwnBounceRule, reply: SmtpReply, ours: BounceClass): BounceClass {
  const { action, category, message } = rule;
  const said = detailOf(reply);
  const detail = said !== null && said !== "0.0" ? said : (rule.status ?? ours.status.slice(2));
  return { action, category, message, status: `${action === "reject" ? 5 : 4}.${detail}`, rule: rule.id };
}
