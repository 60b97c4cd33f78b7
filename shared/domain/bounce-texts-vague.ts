/** Texts of replies that fit more than one meaning: they are read only where the codes say little. */

import type { BounceRule } from "./bounce-rule.ts";
import { text } from "./bounce-text.ts";
import { A_HOST, IN_TIME, REFUSED } from "./bounce-words.ts";

const ADVICE: readonly BounceRule[] = [
  text(
    {
      id: "to-be-mended",
      category: "other",
      status: "0.0",
      message: "The receiving server wants something changed before it takes the mail.",
    },
    `(check/verify/correct/fix/change/remove/review/resolve/rename/compress/modify) .. try again`,
  ),
];

const LIMIT: readonly BounceRule[] = [
  text(
    {
      id: "limit-reached",
      action: "slowdown",
      category: "rate",
      status: "7.1",
      message: "The receiving server allows us only so much in some time.",
      codes: [421, 450, 451, 452], // with 5yz it may be any limit
    },
    `limit (exceeded/reached/hit) | limits exceeded | (exceeded/exceeds/reached) .. (limit/limits)`,
  ),
];

/** Whatever follows, it is we who are refused, and not the mail. */
const HOST: readonly BounceRule[] = [
  text(
    {
      id: "a-host-refused",
      action: "defer",
      category: "blacklist",
      status: "7.1",
      message: "The receiving server does not take mail from our address.",
    },
    `(complaints/reports/attacks/abuse/spam/junk) .. (from/for/about/by/against) (ipaddr/ip ipaddr/the sending server/the sending ip)
     (host/server/client) (blocked/banned) | ${A_HOST} .. ${REFUSED}
     ipaddr (is/was/has been) (not/refused/rejected/unwelcome/denied/barred) | ipaddr (rejected/refused/denied)`,
  ),
];

const SERVER: readonly BounceRule[] = [
  text(
    {
      id: "lookup-failure",
      action: "defer",
      category: "network",
      status: "4.3",
      message: "The receiving server could not look something up.",
    },
    `dns error | dns failure | dns lookup | dns timeout | dns problem | temporary lookup | lookup failure | lookup failed | name server
     nameserver | servfail | temporary dns | directory lookup | ldap | domain lookup`,
  ),
  text(
    {
      id: "connection-trouble",
      action: "defer",
      category: "network",
      status: "4.2",
      message: "A connection behind the receiving server failed.",
    },
    `connection timed out | connection timeout | connection reset | connection lost | connection dropped | connection refused by
     timed out | timeout exceeded | timeout waiting | operation timed | network error | network is unreachable | no route to host
     unable to connect | cannot connect | could not connect | can t connect | host unreachable | host is unreachable | host not reachable
     host is not reachable | server unreachable | server is unreachable | server not reachable | unable to contact
     lost connection`,
  ),
  text(
    {
      id: "server-out-of-space",
      action: "defer",
      category: "capacity",
      status: "3.1",
      message: "The receiving server has no space left.",
    },
    `insufficient system storage | insufficient system resources | insufficient disk | insufficient storage | insufficient resources
     system storage | disk full | no space left | disk is full | file system full | queue full | queue is full | out of memory | out of disk
     low on space | low on disk | resources temporarily | mail system full`,
  ),
  text(
    {
      id: "server-down",
      action: "defer",
      category: "other",
      status: "3.2",
      message: "The receiving server is down or busy.",
    },
    `${IN_TIME}
     please retry | try again | please resend | system load | load is too high | load average | message queue error
     not accepting (network messages/connections)`,
  ),
  text(
    {
      id: "internal-error",
      category: "other",
      status: "3.0",
      message: "The receiving server has trouble of its own.",
    },
    `internal error | internal server error | internal software error | local error | system error | server error | configuration error
     server configuration | mail server problem | unexpected error | database error | service not available | service unavailable`,
  ),
];

const ILL_FORMED: readonly BounceRule[] = [
  text(
    {
      id: "bad-message",
      category: "message",
      status: "6.0",
      message: "The receiving server takes the message for ill-formed.",
    },
    `bare lf | bare cr | bare linefeed* | bare newline* | line too long | lines too long | line length | header too long | too long header
     missing .. header | header .. missing | header missing | no .. header | invalid header | invalid headers | bad header | header error
     malformed | duplicate header | multiple from | multiple headers | messages missing | message id header | not rfc | non rfc
     rfc 5322 | rfc5322 | rfc 2822 | rfc2822 | rfc 822 | 8bit | 8 bit | non ascii | invalid mime | mime error | mime .. invalid
     invalid date | invalid from | from header | empty message | message body .. empty | subject contains | smtplf`,
  ),
];

/** Words that fit many meanings, in the order of how much they tell. */
const SINGLE_WORDS: readonly BounceRule[] = [
  text(
    {
      id: "reputation-word",
      action: "defer",
      category: "blacklist",
      status: "7.1",
      message: "Our address has a bad name with the receiving server.",
    },
    `reputation | réputation | reputación | reputação | reputazione`,
  ),
  text(
    {
      id: "spam-word",
      category: "spam",
      status: "7.1",
      message: "The receiving server takes the message for spam.",
    },
    `spam | abuse | abusive | suspicious content | suspicious message`,
  ),
  text(
    {
      id: "recipient-words",
      category: "recipient",
      status: "1.1",
      message: "The receiving server does not take mail for this recipient.",
    },
    `recipient verify | mailbox unavailable | mailbox is unavailable | mailbox name not allowed | recipient rejected
     recipient address rejected
     recipient refused | recipient denied | recipient .. not allowed | is not a valid | undeliverable | unable to deliver
     cannot be delivered | could not be delivered | does not exist | doesn t exist | not exist | unknown in | user not local`,
  ),
  text(
    {
      id: "quota-word",
      category: "capacity",
      status: "2.2",
      message: "The recipient's mailbox is full.",
    },
    `quota | full | insufficient space`,
  ),
  text(
    {
      id: "policy-words",
      category: "policy",
      status: "7.0",
      message: "The message is against a policy of the receiving server.",
    },
    `policy | policies | policy violation | security | compliance | security risk`,
  ),
  text(
    {
      id: "command-words",
      category: "protocol",
      status: "5.0",
      message: "The receiving server did not accept an SMTP command.",
    },
    `command unrecognized | unrecognized command | unknown command | command not recognized | command not implemented | syntax error
     bad sequence | synchronization error | out of sequence | improper use | need rcpt | need mail | need fully qualified | pipelining
     protocol error
     unsupported parameter | parameter not | invalid command | bad command`,
  ),
  text(
    {
      id: "login-words",
      category: "auth",
      status: "7.0",
      message: "The receiving server asks for a login first.",
    },
    `auth required | auth is required | authentication required | authentication is required | not authenticated | without authentication`,
  ),
  text(
    {
      id: "block-words",
      category: "block",
      status: "7.1",
      message: "The receiving server does not take this mail.",
    },
    `access denied | access rejected | access refused | permission denied | not authorized | not authorised | unauthorized | not permitted
     not allowed | blocked | block | prohibited | forbidden | restricted | refused | denied | banned`,
  ),
];

export const VAGUE_TEXT_RULES: readonly BounceRule[] = [
  ...LIMIT,
  ...HOST,
  ...ADVICE,
  ...SERVER,
  ...ILL_FORMED,
  ...SINGLE_WORDS,
];
