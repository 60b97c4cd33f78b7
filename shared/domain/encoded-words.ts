/** Encoded words of RFC 2047 in header values: read for people (lists, DSN), never to decide anything by. */

// the language suffix after "*" is RFC 2231 §5
const WORD = /=\?([\w.:+-]{1,64})(?:\*[\w-]{0,32})?\?([bq])\?([^?]*)\?=/giy;
const GAP_BETWEEN_WORDS = /(\?=)[ \t]+(?==\?)/g;

/** What cannot be decoded stays as it is. */
export function decodeWords(text: string): string {
  if (!text.includes("=?")) return text;
  const joined = text.replaceAll(GAP_BETWEEN_WORDS, "$1");
  let plain = "";
  for (let at = 0; at < joined.length;) {
    const run = readRun(joined, at);
    if (run) {
      plain += run.text;
      at = run.end;
    } else {
      const next = joined.indexOf("=?", at + 1);
      plain += joined.slice(at, next === -1 ? joined.length : next);
      at = next === -1 ? joined.length : next;
    }
  }
  return plain;
}

/**
 * Words that touch and share a charset are decoded as one, since many programs cut inside a character.
 * Null: no word begins here, or its charset is unknown.
 */
function readRun(text: string, start: number): { text: string; end: number } | null {
  const parts: Buffer[] = [];
  let charset: string | null = null;
  let end = start;
  for (;;) {
    WORD.lastIndex = end;
    const match = WORD.exec(text);
    if (!match) break;
    const label = (match[1] as string).toLowerCase();
    if (charset !== null && label !== charset) break;
    charset = label;
    parts.push(bytesOfWord(match[2] as string, match[3] as string));
    end = WORD.lastIndex;
  }
  const decoded = charset === null ? null : decodeCharset(charset, Buffer.concat(parts));
  return decoded === null ? null : { text: decoded, end };
}

function bytesOfWord(encoding: string, content: string): Buffer {
  if (encoding.toLowerCase() === "b") return Buffer.from(content, "base64");
  const bytes = content
    .replaceAll("_", " ")
    .replaceAll(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1");
}

/** Null: no such charset. */
function decodeCharset(label: string, bytes: Buffer): string | null {
  if (label === "utf-8" || label === "us-ascii") return bytes.toString("utf8");
  try {
    return new TextDecoder(label).decode(bytes);
  } catch {
    return null; // RangeError: the label is none that the platform knows
  }
}
