/** The words of a DSN for people: which address, what the peer said, what that means, what to do. The report itself is dsn.ts. */

import type { Address } from "./address.ts";
import type { BounceCategory } from "./bounce-rule.ts";
import { printMailDate } from "./mail-date.ts";
import { printReply } from "./smtp-reply.ts";
import type { AttemptRecord } from "./queue-row.ts";
import type { DsnInput } from "./dsn-input.ts";

interface Explanation {
  readonly means: string;
  readonly advice: string;
}

const CHECK_ADDRESS = "Check the address for a typing mistake, or ask the recipient for the current one.";
const ASK_ADMINISTRATOR = "Please show this report to the people who run your mail.";
const TRY_LATER = "Send the message again later.";
const REACH_OTHERWISE = "Reach the recipient in another way, and send the message again later.";

const UNKNOWN: Explanation = {
  means: "The recipient's mail server refused the message for good.",
  advice:
    "What the server said, above, is all that we know. The recipient, or those who run that server, may help.",
};

const BY_CAUSE: Partial<Readonly<Record<NonNullable<AttemptRecord["cause"]>, Explanation>>> = {
  "null-mx": {
    means: "The domain of this address says that it takes no mail at all.",
    advice: CHECK_ADDRESS,
  },
  "no-domain": {
    means: "The domain of this address does not exist, or has no mail server.",
    advice: CHECK_ADDRESS,
  },
  unroutable: {
    means: "The mail servers that the domain of this address names cannot be reached from the Internet.",
    advice: CHECK_ADDRESS,
  },
  "too-large": {
    means: "The message is larger than the recipient's mail server takes.",
    advice: "Send it without attachments, or in parts, or send a link instead.",
  },
  "no-smtputf8": {
    means: "The recipient's mail server cannot handle addresses or headers that are not in ASCII letters.",
    advice: "Write from and to addresses in ASCII letters, if there are any for you and the recipient.",
  },
  expired: {
    means: "We tried for as long as we keep a message, and it could not be delivered in that time.",
    advice: "Check the address. If it is right, send the message again later.",
  },
  suppressed: {
    means: "We do not send to this address: it is on the list of those that refused mail or do not want any.",
    advice: ASK_ADMINISTRATOR,
  },
  operator: {
    means: "The message was taken out of the queue by the people who run this mail system.",
    advice: ASK_ADMINISTRATOR,
  },
};

const REPUTATION: Explanation = {
  means: "The recipient's mail server does not trust the server or network that this mail came from.",
  advice: ASK_ADMINISTRATOR,
};
const NOT_PROVEN: Explanation = {
  means: "The recipient's mail server was not convinced that the message is really from you.",
  advice: ASK_ADMINISTRATOR,
};
const OUR_SIDE: Explanation = {
  means: "The mail systems of both sides did not understand each other.",
  advice: ASK_ADMINISTRATOR,
};
const BUSY: Explanation = {
  means: "The recipient's mail server takes no more mail at the moment.",
  advice: TRY_LATER,
};

const BY_CATEGORY: Readonly<Record<BounceCategory, Explanation>> = {
  recipient: { means: "There is no such mailbox, or it takes no mail.", advice: CHECK_ADDRESS },
  capacity: { means: "The recipient's mailbox or mail server is full.", advice: REACH_OTHERWISE },
  spam: {
    means: "The recipient's mail server takes the message for spam.",
    advice: "Change its text, links or attachments before you send it again.",
  },
  virus: {
    means: "The recipient's mail server found something harmful in the message.",
    advice: "Look for malware on the computer it was sent from, and do not send the attachment again.",
  },
  message: {
    means: "The recipient's mail server does not take a message of this form.",
    advice: "Send it in a simpler form, without attachments.",
  },
  policy: {
    means: "The recipient's mail server has a rule against this message.",
    advice: "What the server said, above, may name the rule. The people who run your mail may help.",
  },
  envelope: {
    means: "The recipient's mail server does not take this combination of sender and recipient.",
    advice: CHECK_ADDRESS,
  },
  sender: {
    means: "The recipient's mail server does not take mail from your address.",
    advice: ASK_ADMINISTRATOR,
  },
  blacklist: REPUTATION,
  block: REPUTATION,
  auth: NOT_PROVEN,
  dmarc: NOT_PROVEN,
  config: OUR_SIDE,
  protocol: OUR_SIDE,
  rate: BUSY,
  greylist: BUSY,
  network: { means: "The recipient's mail server could not be reached.", advice: TRY_LATER },
  dns: { means: "The mail server of the address could not be found.", advice: CHECK_ADDRESS },
  other: UNKNOWN,
};

const WIDTH = 76;

/** The human part, lines ending in CRLF, none longer than a word or 76 characters. */
export function dsnText(input: DsnInput): string {
  const lines = [
    ...wrap(`This is the mail system at ${input.hostname}. Nobody reads replies to this message.`),
    "",
    ...wrap(input.kind === "failed" ? FAILED : delayedIntro(input)),
    "",
    ...input.recipients.flatMap(({ recipient, attempt }) => [
      ...recipientLines(recipient, attempt, input.kind),
      "",
    ]),
    "About your message:",
    "",
    ...(input.message.subject === null ? [] : wrap(`Subject: ${input.message.subject}`, "  ")),
    ...wrap(`Message-ID: ${input.message.messageIdHeader}`, "  "),
    ...wrap(`Received by us: ${printMailDate(input.message.acceptedAt)}`, "  "),
    ...wrap(`Our reference: ${input.message.id}`, "  "),
  ];
  return `${lines.join("\r\n")}\r\n`;
}

const FAILED =
  "Your message could not be delivered to the recipients below, and we have stopped trying. " +
  "Recipients that are not named here are not affected.";

function delayedIntro(input: DsnInput): string {
  const until = input.retryUntil === null ? "" : ` until ${printMailDate(input.retryUntil)}`;
  return (
    "Your message has not been delivered to the recipients below yet. " +
    `We keep trying${until}: you need not send it again. You will be told if it fails.`
  );
}

function recipientLines(recipient: Address, attempt: AttemptRecord, kind: DsnInput["kind"]): string[] {
  const said =
    attempt.reply === null
      ? `What happened: ${attempt.detail}`
      : `${attempt.route.mx ?? "The mail server"} said: ${printReply(attempt.reply)}`;
  const { means, advice } = explain(attempt);
  return [
    ...wrap(recipient, "  "),
    ...wrap(said, "    "),
    ...(kind === "failed" ? [...wrap(means, "    "), ...wrap(advice, "    ")] : []),
  ];
}

function explain(attempt: AttemptRecord): Explanation {
  const byCause = attempt.cause === null ? undefined : BY_CAUSE[attempt.cause];
  return byCause ?? BY_CATEGORY[attempt.category ?? "other"];
}

/** Lines of at most `WIDTH` characters where words allow it, without line breaks or other controls of the text's own. */
function wrap(text: string, indent = ""): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(/[\s\p{Cc}]+/u).filter((word) => word !== "")) {
    if (line.length > indent.length && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = indent;
    }
    line += line.length > indent.length ? ` ${word}` : word;
  }
  return [...lines, line];
}
