/**
 * What reply codes (RFC 5321 §4.2.3) and enhanced status codes (RFC 3463, and the registry of RFC 5248) mean by themselves.
 * `CODE_RULES` say enough to outweigh a vague text; `FALLBACK_RULES` are for codes that say little.
 */
import type { BounceAction, BounceCategory, BounceRule } from "./bounce-rule.ts";

/** `7.606` to `7.649`. */
function details(subject: number, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, i) => `${subject}.${from + i}`);
}

type Meaning = readonly [id: string, category: BounceCategory, message: string, action?: BounceAction];

/** A rule for enhanced codes; the first is also the status. */
function enhanced(
  details: readonly string[],
  [id, category, message, action = "reject"]: Meaning,
): BounceRule {
  return { id, action, category, status: details[0] ?? "0.0", message, enhanced: details };
}

function basic(
  codes: readonly number[],
  status: string,
  [id, category, message, action = "reject"]: Meaning,
): BounceRule {
  return { id, action, category, status, message, codes };
}

export const CODE_RULES: readonly BounceRule[] = [
  // X.1: the addresses
  enhanced(["1.1", "1.3"], ["status-no-mailbox", "recipient", "The recipient's address does not exist."]),
  enhanced(["1.2"], ["status-no-domain", "recipient", "The recipient's domain does not exist."]),
  enhanced(
    ["1.4"],
    [
      "status-ambiguous-recipient",
      "recipient",
      "The recipient's address is not clear to the receiving server.",
    ],
  ),
  enhanced(
    ["1.6"],
    ["status-mailbox-moved", "recipient", "The recipient has moved and left no new address."],
  ),
  enhanced(
    ["1.7", "1.8", "1.9"],
    ["status-bad-sender", "sender", "The receiving server does not accept the sender's address."],
  ),
  enhanced(["1.10"], ["status-null-mx", "recipient", "The recipient's domain takes no mail."]),
  // X.2: the mailbox
  enhanced(["2.1"], ["status-mailbox-disabled", "recipient", "The recipient's mailbox takes no mail now."]),
  enhanced(["2.2"], ["status-mailbox-full", "capacity", "The recipient's mailbox is full."]),
  enhanced(
    ["2.3"],
    ["status-too-large-for-mailbox", "message", "The message is larger than the recipient may receive."],
  ),
  enhanced(
    ["2.4"],
    ["status-list-expansion", "recipient", "The recipient is a mailing list that could not be expanded."],
  ),
  enhanced(
    ["2.121", "2.122"],
    [
      "status-receiving-rate",
      "rate",
      "The recipient gets more mail than the receiving server allows.",
      "slowdown",
    ],
  ),
  // X.3: the mail system
  enhanced(["3.1"], ["status-system-full", "capacity", "The receiving server has no space left."]),
  enhanced(["3.2"], ["status-system-down", "network", "The receiving server takes no mail now."]),
  enhanced(
    ["3.3"],
    ["status-system-incapable", "protocol", "The receiving server cannot do what this message needs."],
  ),
  enhanced(
    ["3.4"],
    ["status-message-too-large", "message", "The message is too large for the receiving server."],
  ),
  enhanced(["3.5"], ["status-system-misconfigured", "config", "The receiving server is not set up right."]),
  // X.4: network and routing
  enhanced(["4.1"], ["status-no-answer", "network", "The host behind the receiving server does not answer."]),
  enhanced(["4.2"], ["status-bad-connection", "network", "The connection was lost or timed out."]),
  enhanced(
    ["4.3"],
    ["status-directory-failure", "network", "The receiving server could not look something up."],
  ),
  enhanced(
    ["4.4"],
    ["status-unable-to-route", "network", "The receiving server does not know where to pass the mail on."],
  ),
  {
    // RFC 3463 §3.5 has it for 4yz alone; with 5yz it is said of senders who have sent too much.
    ...enhanced(
      ["4.5"],
      ["status-sending-limit", "rate", "The sender may send no more for some time.", "slowdown"],
    ),
    codes: [550, 552, 554],
  },
  enhanced(["4.5"], ["status-congestion", "network", "The receiving mail system is congested."]),
  enhanced(["4.6"], ["status-loop", "network", "The receiving servers pass the mail in a circle."]),
  enhanced(
    ["4.7"],
    ["status-expired", "network", "The receiving server kept the mail too long without delivering it."],
  ),
  // Microsoft's own, from 4.3xx on
  enhanced(["4.310"], ["status-no-dns-domain", "recipient", "The recipient's domain does not exist."]),
  enhanced(
    [...details(4, 311, 399), ...details(4, 300, 309)],
    ["status-behind", "network", "The host behind the receiving server could not be found or reached."],
  ),
  // X.5: the protocol
  enhanced(
    ["5.3"],
    ["status-too-many-recipients", "protocol", "Too many recipients in one transaction.", "defer"],
  ),
  enhanced(
    ["5.1", "5.2", "5.4", "5.5", "5.6"],
    ["status-protocol", "protocol", "The receiving server did not accept an SMTP command."],
  ),
  // X.6: content
  enhanced(
    ["6.1", "6.2", "6.3", "6.4", "6.5", "6.6", "6.9"],
    ["status-content", "message", "The receiving server cannot take content of this kind."],
  ),
  enhanced(
    ["6.7", "6.8", "6.10"],
    ["status-smtputf8", "protocol", "The receiving server cannot take internationalized mail (SMTPUTF8)."],
  ),
  // X.7: security and policy
  enhanced(["7.2"], ["status-list-forbidden", "block", "The sender may not write to this mailing list."]),
  enhanced(
    ["7.3", "7.4", "7.5", "7.6", "7.7", ...details(7, 317, 325)],
    ["status-security", "policy", "The receiving server asks for a security feature."],
  ),
  enhanced(
    ["7.8", "7.9", "7.11", "7.12", "7.13", "7.14", "7.57"],
    ["status-credentials", "auth", "The receiving server did not accept our login."],
  ),
  enhanced(
    ["7.10", "7.30"],
    ["status-encryption-needed", "policy", "The receiving server takes mail only over a safer connection."],
  ),
  enhanced(["7.15"], ["status-priority", "policy", "The receiving server takes only more urgent mail."]),
  enhanced(
    ["7.16"],
    ["status-too-big-for-priority", "message", "The message is too large for its priority."],
  ),
  enhanced(["7.17"], ["status-mailbox-owner-changed", "recipient", "The mailbox has changed its owner."]),
  enhanced(
    ["7.18"],
    ["status-domain-owner-changed", "recipient", "The recipient's domain has changed its owner."],
  ),
  enhanced(
    ["7.19"],
    ["status-rrvs", "recipient", "The receiving server cannot check since when the mailbox exists."],
  ),
  enhanced(
    ["7.20", "7.21", "7.22"],
    ["status-dkim", "auth", "The receiving server found no valid DKIM signature."],
  ),
  enhanced(["7.23", "7.24"], ["status-spf", "auth", "The sender's domain does not name our address in SPF."]),
  enhanced(["7.25"], ["status-reverse-dns", "config", "Our address has no valid reverse DNS name."]),
  enhanced(
    ["7.26", "7.29", "7.515"],
    ["status-authentication", "auth", "The message passes none of SPF, DKIM and DMARC."],
  ),
  enhanced(
    ["7.27"],
    ["status-sender-null-mx", "sender", "The sender's domain takes no mail, so nothing could be answered."],
  ),
  enhanced(["7.28"], ["status-mail-flood", "rate", "The receiving server sees a flood of mail.", "slowdown"]),
  // Microsoft's own, from 7.1xx on
  enhanced(
    ["7.124", "7.133", "7.134", "7.135"],
    ["status-senders-restricted", "block", "Only certain senders may write to this recipient."],
  ),
  enhanced(
    ["7.509"],
    ["status-dmarc", "dmarc", "The message fails the DMARC policy of the sender's domain."],
  ),
  enhanced(
    ["7.501", "7.502", "7.503"],
    ["status-sender-banned", "block", "The receiving server has banned the sender."],
  ),
  enhanced(
    ["7.500", ...details(7, 650, 659)],
    [
      "status-ip-throttled",
      "rate",
      "The receiving server takes mail from our address only slowly.",
      "slowdown",
    ],
  ),
  enhanced(
    [...details(7, 606, 649), "7.511", "7.708"],
    ["status-ip-banned", "blacklist", "The receiving server has banned our address.", "defer"],
  ),
  // What a code without an enhanced one says clearly
  basic([523], "2.3", ["code-too-large", "message", "The message is larger than the recipient may receive."]),
  basic([530, 538], "7.0", [
    "code-auth-needed",
    "policy",
    "The receiving server asks for TLS or a login first.",
  ]),
  {
    ...enhanced(["3.0"], ["code-trouble-now", "other", "The receiving server has trouble of its own."]),
    codes: [454], // without 4.7.0 it is neither of login nor of STARTTLS
  },
  basic([432, 454, 534, 535], "7.8", [
    "code-credentials",
    "auth",
    "The receiving server did not accept our login or STARTTLS.",
  ]),
  basic([551], "1.6", ["code-not-local", "recipient", "The recipient is not at this server."]),
  basic([555], "5.4", [
    "code-parameters",
    "protocol",
    "The receiving server did not accept a parameter of MAIL or RCPT.",
  ]),
];

export const FALLBACK_RULES: readonly BounceRule[] = [
  enhanced(["1.0"], ["status-address", "envelope", "Something is wrong with an address."]),
  enhanced(["2.0"], ["status-mailbox", "recipient", "Something is wrong with the recipient's mailbox."]),
  enhanced(["3.0"], ["status-system", "other", "Something is wrong with the receiving server."]),
  enhanced(
    ["4.0"],
    ["status-network", "network", "Something is wrong with the network at the receiving side."],
  ),
  enhanced(["5.0"], ["status-protocol-other", "protocol", "Something went wrong between the servers."]),
  enhanced(["6.0"], ["status-content-other", "message", "The receiving server does not accept the content."]),
  enhanced(["7.0"], ["status-policy", "policy", "The message is against a policy of the receiving server."]),
  enhanced(["7.1"], ["status-refused", "block", "The receiving server does not take this mail."]),
  basic([521, 556], "1.10", ["code-no-mail", "recipient", "The recipient's domain takes no mail."]),
  basic([421], "3.2", ["code-unavailable", "other", "The receiving server is not available now."]),
  basic([450], "2.0", ["code-mailbox-busy", "other", "The mailbox is not available now."]),
  basic([451], "3.0", ["code-local-error", "other", "The receiving server has trouble of its own."]),
  basic([452], "3.1", ["code-storage", "capacity", "The receiving server or the mailbox has no space now."]),
  basic([455], "5.4", [
    "code-parameters-now",
    "protocol",
    "The receiving server cannot take a parameter of MAIL or RCPT now.",
  ]),
  basic([500, 501, 502, 503, 504], "5.0", [
    "code-command",
    "protocol",
    "The receiving server did not accept an SMTP command.",
  ]),
  basic([550], "0.0", [
    "code-refused",
    "other",
    "The receiving server does not take this mail, without a clear reason.",
  ]),
  basic([552], "2.2", [
    "code-exceeded",
    "capacity",
    "The mailbox is full, or the message is too large for it.",
  ]),
  basic([553], "1.3", [
    "code-address-not-allowed",
    "envelope",
    "The receiving server does not allow an address.",
  ]),
  basic([554], "0.0", ["code-failed", "other", "The transaction failed, without a clear reason."]),
  basic(range(400, 499), "0.0", [
    "class-4",
    "other",
    "The receiving server does not take this mail now, without a clear reason.",
  ]),
  basic(range(500, 599), "0.0", [
    "class-5",
    "other",
    "The receiving server does not take this mail, without a clear reason.",
  ]),
];

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
