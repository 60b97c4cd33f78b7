/** What a reply that somebody pasted means, for `zonefleet check-bounce`: the same verdict that a delivery would get. */

import type { BounceClass } from "../domain/bounce-class.ts";
import { classify as classifyByOurRules, isTextRule } from "../domain/bounce-class.ts";
import type { Classify } from "../domain/own-bounce-rules.ts";
import type { SmtpReply } from "../domain/smtp-reply.ts";
import { smtpReply } from "../domain/smtp-reply.ts";

/** The first six are those of ZoneMTA's tool, in its order. */
export interface BounceCheck {
  readonly data: string;
  readonly action: BounceClass["action"];
  readonly message: string;
  readonly category: BounceClass["category"];
  /** 0: the text has none. */
  readonly code: number;
  /** As the reply says it; false: it says none. */
  readonly status: string | false;
  /** Id of the rule that decided. */
  readonly rule: string;
  /** What a DSN would say. */
  readonly dsnStatus: string;
}

const CODE = /^([2-5]\d\d)(?:[ \t-]|$)/;
/** What each line of a reply begins with. */
const LINE_CODE = /^\s*\d{3}(?:[ -]|$)/;
const STATUS_ALONE = /^([45])\.\d{1,3}\.\d{1,3}(?:\s|$)/;

/** Null: there is nothing but white space. */
export function checkBounce(text: string, classify: Classify): BounceCheck | null {
  const data = text.trim();
  if (data === "") return null;
  const reply = replyOf(data);
  const verdict = reply ? classify(reply) : byWordsAlone(data);
  const { action, message, category, rule, status } = verdict;
  return {
    data,
    action,
    message,
    category,
    code: reply?.code ?? 0,
    status: reply?.enhanced ?? false,
    rule,
    dsnStatus: status,
  };
}

/** Null: it does not begin as a reply does. */
function replyOf(data: string): SmtpReply | null {
  const lines = data.split(/\r\n|\r|\n/).map((line) => line.replace(LINE_CODE, ""));
  const code = CODE.exec(data)?.[1];
  if (code !== undefined) return smtpReply(Number(code), lines);
  const statusClass = STATUS_ALONE.exec(data)?.[1];
  return statusClass === undefined ? null : smtpReply(Number(`${statusClass}50`), lines);
}

/** No peer's reply is without a code; this is what a log says of a connection, or a reply that lost its code on the way. */
function byWordsAlone(data: string): BounceClass {
  const verdict = classifyByOurRules(smtpReply(550, data.split(/\r\n|\r|\n/)));
  return isTextRule(verdict.rule) ? verdict : classifyByOurRules(smtpReply(200, [data]));
}
