/**
 * Which headers of a message a DKIM signature covers, and their canonical text (RFC 6376 §3.4.2, §5.4).
 *
 * Headers are over-signed: each is named once more than it is there, so that nobody can add a second From or Subject, or a
 * List-Unsubscribe of his own, and keep the signature (RFC 6376 §8.15).
 */

import type { DkimTerms } from "./dkim-terms.ts";
import type { Header, HeaderList } from "./headers.ts";

/** Signed, and signed against being added: what a reader sees or a mail program acts on. */
const OVER_SIGNED = [
  "From",
  "To",
  "Cc",
  "Subject",
  "Date",
  "Message-ID",
  "Reply-To",
  "MIME-Version",
  "Content-Type",
  "Content-Transfer-Encoding",
  "List-Id",
  "List-Unsubscribe",
  "List-Unsubscribe-Post",
  "List-Subscribe",
  "List-Post",
  "List-Owner",
  "List-Help",
  "List-Archive",
  "Feedback-ID",
] as const;

/** Signed where present; a forwarder or list may add them without harm (RFC 6376 §5.4.1). */
const SIGNED = [
  "Sender",
  "In-Reply-To",
  "References",
  "Content-ID",
  "Content-Description",
  "Content-Disposition",
  "Resent-Date",
  "Resent-From",
  "Resent-To",
  "Resent-Cc",
  "Resent-Message-ID",
  "CFBL-Address",
  "CFBL-Feedback-ID",
  "Auto-Submitted",
] as const;

const MUST_NOT_BE_ADDED: ReadonlySet<string> = new Set(OVER_SIGNED.map((name) => name.toLowerCase()));

/** Headers of one name that are signed: honest mail has a few, and `h=` must not grow with what a sender makes up. */
const MAX_SAME_NAME = 20;

export interface CoveredHeaders {
  /** As in `h=`. */
  readonly names: string;
  /** The headers it names, canonical, each with its CRLF. */
  readonly text: string;
}

/**
 * Those that a signature on these terms covers. An operator's own list says which fields are signed, and not how: those that nobody
 * is to add are signed against it there too.
 */
export function coveredHeaders(
  headers: HeaderList,
  { headerFields, additionalHeaderFields }: Pick<DkimTerms, "headerFields" | "additionalHeaderFields">,
): CoveredHeaders {
  const byKey = Map.groupBy(headers, (header) => header.key);
  const names: string[] = [];
  let text = "";
  const done = new Set<string>();
  for (const name of [...(headerFields ?? [...OVER_SIGNED, ...SIGNED]), ...additionalHeaderFields]) {
    const key = name.toLowerCase();
    if (done.has(key)) continue;
    done.add(key);
    const present: readonly Header[] = byKey.get(key) ?? [];
    // of headers with one name the lowest comes first (RFC 6376 §5.4.2)
    for (const header of present.slice(-MAX_SAME_NAME).toReversed()) {
      names.push(name);
      text += `${canonicalHeader(header.line)}\r\n`;
    }
    // a name with no header left stands for none
    if (MUST_NOT_BE_ADDED.has(key) && present.length <= MAX_SAME_NAME) names.push(name);
  }
  return { names: names.join(":"), text };
}

/** One header in the relaxed form of RFC 6376 §3.4.2, without the CRLF at its end. Works on one character per byte. */
export function canonicalHeader(line: string): string {
  const colon = line.indexOf(":");
  const name = line.slice(0, colon).replaceAll(/[ \t]+/g, "");
  const value = line.slice(colon + 1).replaceAll("\r\n", "");
  const spaced = value.replaceAll(/[ \t]+/g, " ");
  const start = spaced.startsWith(" ") ? 1 : 0;
  const end = spaced.endsWith(" ") && spaced.length > start ? -1 : spaced.length;
  return `${name.toLowerCase()}:${spaced.slice(start, end)}`;
}
