/** Texts of replies about the message: dangers, spam, size, loops. Part of bounce-texts.ts. */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";

export const DANGER: readonly BounceRule[] = [
  text(
    {
      id: "virus",
      category: "virus",
      status: "7.0",
      message: "The receiving server found a virus or an attachment that it thinks dangerous.",
    },
    `virus | viruses | eicar | infected | malware | trojan | worm detected | suspicious attachment | dangerous attachment
     presents a potential security | potentially executable | executable attachment | attachment .. not allowed | attachment .. blocked
     attachment .. prohibited | attachment type | file type .. not allowed | blocked file | banned attachment | banned file
     blockedmessage`,
  ),
  text(
    {
      id: "domain-reputation",
      category: "spam",
      status: "7.1",
      message: "A domain in the message has a bad name with the receiving server.",
    },
    `domain .. (low/poor/no) (trust/reputation) | (domain/from domain/mailfrom domain) is (listed/blacklisted/on) | dbl spamhaus
     spamhaus dbl | spamhaus org query dbl | spamhaus org query domain | url .. listed | your domain .. blacklist*
     your domain .. blocklist* | your domain .. listed | your domain .. blocked | banned url | blocked url | uribl | surbl
     url .. blacklist* | url .. blocked | uri .. blacklist* | blacklisted url | listed url
     reputation of the sending domain | reputation of .. domain in | domain .. bad reputation | domain reputation
     poor reputation sender domain | poor reputation domain | sender domain .. reputation | reputation of .. domain | link .. blocked
     hvu b1 | hvu b2 | spammy url`,
  ),
];

export const SPAM: readonly BounceRule[] = [
  text(
    {
      id: "spam",
      category: "spam",
      status: "7.1",
      message: "The receiving server takes the message for spam.",
    },
    `as spam | is spam | be spam | like spam | a spam | spam message | spam messages | spam content | spam detected | spam mail | spam email
     spam score | spam probability | spam filter* | spam rejected | spam found | spam verdict | spam like | spammy | spamassassin
     of spam | suspected spam | suspicion of spam | possible spam | probable spam | spam .. not accepted | spam is not
     spamming | antispam | anti spam | as junk | is junk | antispamcloud | notspam support | dt spm | ofr 506 | ofr 519
     unsolicited | unsolicitedmessageerror | bulk mail | junk mail | junk email | phishing | phish | scam
     content filter* | content rejected | content denied | content blocked | content .. not acceptable | message content .. reject*
     blocked by content
     rejected by content | rejected due to content | likely suspicious | message filtered | classified as bulk`,
  ),
];

export const SIZE_AND_LOOPS: readonly BounceRule[] = [
  text(
    {
      id: "loop",
      category: "network",
      status: "4.6",
      message: "The receiving servers pass the mail in a circle.",
    },
    `mail loop | mail loops | loops back | routing loop | loop detected | too many hops | hop count | hops exceeded | delivery loop
     too many received | message looping | is looping`,
  ),
  text(
    {
      id: "message-too-large",
      category: "message",
      status: "3.4",
      message: "The message is too large for the receiving server.",
    },
    `message too large | message is too large | message too big | message is too big | message size | message file too big | mail too large
     message exceed* | message .. exceeds .. size | mail size | size limit | maximum size | max size | maximum message size
     too large message | message length exceed* | exceeds maximum size | exceeded size | email size`,
  ),
];
