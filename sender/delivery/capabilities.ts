/** What a peer offers, out of its reply to EHLO (RFC 5321 §4.1.1.1). */

export interface Capabilities {
  /** False: it took HELO only. */
  readonly esmtp: boolean;
  readonly pipelining: boolean;
  /** True: it takes SIZE= with MAIL (RFC 1870). */
  readonly size: boolean;
  /** Largest message it takes; null: it names no limit. */
  readonly maxBytes: number | null;
  readonly eightBitMime: boolean;
  readonly smtputf8: boolean;
  readonly starttls: boolean;
  /** SASL mechanisms, upper case. */
  readonly auth: ReadonlySet<string>;
}

const NO_AUTH: ReadonlySet<string> = new Set();

export const NO_CAPABILITIES: Capabilities = {
  esmtp: false,
  pipelining: false,
  size: false,
  maxBytes: null,
  eightBitMime: false,
  smtputf8: false,
  starttls: false,
  auth: NO_AUTH,
};

/** `lines` of the reply; the first one is the peer's name. What is not known or not understood is not offered. */
export function parseCapabilities(lines: readonly string[]): Capabilities {
  const offered = new Map<string, string[]>();
  for (const line of lines.slice(1)) {
    // "AUTH=PLAIN LOGIN" is how servers wrote it before RFC 2554
    const [keyword = "", ...parameters] = line
      .trim()
      .toUpperCase()
      .replace(/^AUTH=/, "AUTH ")
      .split(/\s+/);
    offered.set(keyword, [...(offered.get(keyword) ?? []), ...parameters]);
  }
  return {
    esmtp: true,
    pipelining: offered.has("PIPELINING"),
    size: offered.has("SIZE"),
    maxBytes: maxBytesOf(offered.get("SIZE")?.[0]),
    eightBitMime: offered.has("8BITMIME"),
    smtputf8: offered.has("SMTPUTF8"),
    starttls: offered.has("STARTTLS"),
    auth: new Set(offered.get("AUTH")),
  };
}

/** RFC 1870 §4: zero, or no number, means no fixed limit. */
function maxBytesOf(parameter: string | undefined): number | null {
  if (parameter === undefined || !/^\d{1,20}$/.test(parameter)) return null;
  const bytes = Number(parameter);
  return bytes === 0 ? null : bytes;
}
