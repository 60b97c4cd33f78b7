/** What an SMTP peer said (RFC 5321 §4.2), kept verbatim, and the codes read out of it (RFC 3463). */

/** One reply, of one or many lines. */
export interface SmtpReply {
  /** 200 to 599. */
  readonly code: number;
  /** Enhanced status code such as `4.2.2`, from the first line that has one of the code's own class; null: none. */
  readonly enhanced: string | null;
  /** The text of all lines without codes, joined with one space; printable, at most `MAX_REPLY_TEXT` characters. */
  readonly text: string;
}

export const MAX_REPLY_TEXT = 1_024;

/** Some peers put a colon or comma behind it. A dot would make it part of an IP address. */
const ENHANCED = /^\s*(([245])\.\d{1,3}\.\d{1,3})(?:$|[\s:;,]+)/;

/** Controls, formats such as a change of direction, lone surrogates, and what Unicode counts as line ends. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]+/gu;

/** Build a reply from its lines, each without code and separator: `["5.1.1 No such", "5.1.1 user"]`. */
export function smtpReply(code: number, lines: readonly string[]): SmtpReply {
  let enhanced: string | null = null;
  const texts = lines.map((line) => {
    const match = ENHANCED.exec(line);
    if (!match || Number(match[2]) !== Math.trunc(code / 100)) return line.trim(); // of another class: part of the text
    enhanced ??= match[1] as string;
    return line.slice(match[0].length).trim();
  });
  return { code, enhanced, text: printable(texts.join(" ")) };
}

/** `550 5.1.1 No such user`, as a log line or a DSN's Diagnostic-Code shows it. */
export function printReply(reply: SmtpReply): string {
  return [String(reply.code), reply.enhanced, reply.text].filter((part) => part).join(" ");
}

/** First digit of the code: 2 accepted, 3 go on, 4 not now, 5 not ever. */
export function replyClass(reply: SmtpReply): number {
  return Math.trunc(reply.code / 100);
}

function printable(text: string): string {
  const clean = text.replaceAll(UNPRINTABLE, " ").trim();
  return clean.slice(0, MAX_REPLY_TEXT).replace(/[\ud800-\udbff]$/, ""); // the cut may split a pair
}
