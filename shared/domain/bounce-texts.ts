/**
 * Texts of replies that are clear whatever the code is, gathered from what large providers, filter appliances and mail servers
 * say: here is their order, from the rare and certain to the common, since one text often has the words of several. The rules
 * are in files by what a reply is about.
 */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";
import { ADDRESS_CODES, HOST, REPUTATION } from "./bounce-texts-address.ts";
import { DANGER, SIZE_AND_LOOPS, SPAM } from "./bounce-texts-message.ts";
import { PACE } from "./bounce-texts-pace.ts";
import { RECIPIENT } from "./bounce-texts-recipient.ts";
import { AUTHENTICATION, BLOCKED_SENDER, SAFE_CONNECTION, SENDER } from "./bounce-texts-sender.ts";

/** Words of one meaning that stand beside words of others. */
const CERTAIN: readonly BounceRule[] = [
  text(
    {
      id: "given-up-behind",
      category: "network",
      status: "4.7",
      message: "The receiving server has given up after many tries of its own.",
      codes: [550, 551, 554],
      lasts: true, // "Message expired -> 451 4.7.0 try again later"
    },
    `retry timeout exceeded | failing for a long time | retry time not reached | message expired | message .. expired
     delivery (expired/time expired) | queue expired | too old | in the queue too long | in queue too long | given up | giving up
     retry limit | retries exceeded | exceeded max time without delivery`,
  ),
  text(
    {
      id: "account-or-domain-missing",
      category: "recipient",
      status: "1.1",
      message: "The receiving server knows no such account or domain.",
    },
    `account or domain may not exist`,
  ),
  text(
    {
      id: "too-many-in-mailbox",
      category: "capacity",
      status: "2.2",
      message: "The recipient's mailbox holds as many messages as it may.",
    },
    `too many (messages/mails/emails) in (the/this/his/her/your) (mailbox/inbox/account/folder)
     (mailbox/inbox) .. limit of (messages/mails/emails)`,
  ),
  text(
    {
      id: "message-too-large-for-mailbox",
      category: "message",
      status: "2.3",
      message: "The message is larger than the recipient may receive.",
    },
    `too much mail data`,
  ),
  text(
    {
      id: "spam-verdict",
      category: "spam",
      status: "7.1",
      message: "The receiving server takes the message for spam.",
    },
    `spam message rejected`,
  ),
];

/** Words that are clearer than the enhanced code that some servers put beside them. */
const OVER_A_VAGUE_CODE: readonly BounceRule[] = [
  text(
    {
      id: "congested-without-space",
      action: "defer",
      category: "capacity",
      status: "3.1",
      message: "The receiving server has no space left.",
      enhanced: ["4.5"],
    },
    `insufficient disk | insufficient storage | insufficient system storage | disk space | disk full | no space left`,
  ),
  text(
    {
      id: "system-trouble-now",
      action: "defer",
      category: "other",
      status: "3.0",
      message: "The receiving server has trouble of its own just now.",
      codes: [550, 554], // 4yz says so by itself
      enhanced: ["3.2", "3.5"],
    },
    `try again | retry later | please retry | try later`,
  ),
];

export const TEXT_RULES: readonly BounceRule[] = [
  ...DANGER,
  ...ADDRESS_CODES,
  ...CERTAIN,
  ...PACE,
  ...AUTHENTICATION,
  ...BLOCKED_SENDER,
  ...REPUTATION, // before the texts that have its words too: "mail from 192.0.2.1 rejected, see spamhaus"
  ...SPAM,
  ...SENDER,
  ...RECIPIENT,
  ...SIZE_AND_LOOPS,
  ...SAFE_CONNECTION,
  ...OVER_A_VAGUE_CODE,
  ...HOST,
];
