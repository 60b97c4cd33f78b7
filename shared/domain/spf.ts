/** SPF records as data (RFC 7208): read whole before anything is looked up, as §4.6 wants it. shared/app/check-spf.ts asks the DNS. */

import ipaddr from "ipaddr.js";

import { ipFamily, parseIp, reversedLabels } from "./ip.ts";

export type SpfQualifier = "+" | "-" | "~" | "?";

export type SpfMechanism =
  | { kind: "all" }
  | { kind: "include" | "exists"; domain: string }
  /** `domain` null: the one that the record is of. Prefixes are of IPv4 and IPv6 addresses. */
  | { kind: "a" | "mx"; domain: string | null; prefix4: number; prefix6: number }
  | { kind: "ptr" }
  | { kind: "ip"; address: string; prefix: number };

export interface SpfRecord {
  readonly directives: readonly { qualifier: SpfQualifier; mechanism: SpfMechanism }[];
  /** Domain whose record counts when no directive matches; null: none. */
  readonly redirect: string | null;
}

const VERSION = /^v=spf1(?: |$)/i;
const DIRECTIVE = /^([+\-~?])?([a-z0-9]+)(?::([^/]*))?((?:\/.*)?)$/i;
const MODIFIER = /^([a-z][a-z0-9._-]*)=(.*)$/i;
const DUAL_PREFIX = /^(?:\/(\d{1,2}))?(?:\/\/(\d{1,3}))?$/;

/** Of the TXT records of a name, the one that counts is an SPF record. */
export function isSpf(text: string): boolean {
  return VERSION.test(text);
}

/** What is wrong with it, as text, for a record that `isSpf`. */
export function parseSpf(text: string): SpfRecord | { error: string } {
  const directives: { qualifier: SpfQualifier; mechanism: SpfMechanism }[] = [];
  let redirect: string | null = null;
  for (const term of text.split(/ +/).slice(1).filter(Boolean)) {
    const [, name, value = ""] = MODIFIER.exec(term) ?? [];
    if (name !== undefined) {
      if (name.toLowerCase() !== "redirect") continue; // others are for later versions of us (§6)
      if (redirect !== null || value === "")
        return { error: `${term} is one redirect too many, or leads nowhere` };
      redirect = value;
      continue;
    }
    const directive = directiveOf(term);
    if (directive === null) return { error: `${term} is no mechanism of SPF` };
    directives.push(directive);
  }
  return { directives, redirect };
}

function directiveOf(term: string): { qualifier: SpfQualifier; mechanism: SpfMechanism } | null {
  const [, sign = "+", name = "", value, slashes = ""] = DIRECTIVE.exec(term) ?? [];
  const mechanism = mechanismOf(name.toLowerCase(), value, slashes);
  return mechanism && { qualifier: sign as SpfQualifier, mechanism };
}

function mechanismOf(name: string, value: string | undefined, slashes: string): SpfMechanism | null {
  const isBare = slashes === "";
  switch (name) {
    case "all":
      return value === undefined && isBare ? { kind: "all" } : null;
    case "include":
    case "exists":
      return value && isBare ? { kind: name, domain: value } : null;
    case "ptr":
      return isBare && value !== "" ? { kind: "ptr" } : null;
    case "a":
    case "mx":
      return value === "" ? null : withPrefixes(name, value ?? null, slashes);
    case "ip4":
    case "ip6":
      return networkOf(name === "ip4" ? 4 : 6, value ?? "", slashes);
    default:
      return null;
  }
}

function withPrefixes(kind: "a" | "mx", domain: string | null, slashes: string): SpfMechanism | null {
  const match = DUAL_PREFIX.exec(slashes);
  if (!match) return null;
  const [prefix4, prefix6] = [Number(match[1] ?? 32), Number(match[2] ?? 128)];
  return prefix4 <= 32 && prefix6 <= 128 ? { kind, domain, prefix4, prefix6 } : null;
}

function networkOf(family: 4 | 6, text: string, slashes: string): SpfMechanism | null {
  const longest = family === 4 ? 32 : 128;
  const prefix =
    slashes === "" ? longest : /^\/\d{1,3}$/.test(slashes) ? Number(slashes.slice(1)) : Number.NaN;
  if (!ipaddr.isValid(text) || (family === 4) !== ipaddr.IPv4.isValidFourPartDecimal(text)) return null;
  return prefix <= longest ? { kind: "ip", address: text, prefix } : null;
}

/** True: `ip` is in the network of so many leading bits around `address`. */
export function isInNetwork(ip: string, address: string, prefix: number): boolean {
  const [one, other] = [parseIp(ip), parseIp(address)];
  if (one === null || other === null || ipFamily(one) !== ipFamily(other)) return false;
  return ipaddr.process(one).match(ipaddr.process(other), prefix);
}

export interface MacroValues {
  /** Whose connection it is. */
  readonly ip: string;
  /** Whose record it is. */
  readonly domain: string;
  /** The address that mail comes from. */
  readonly sender: string;
}

/** A domain with its macros put in (§7); `p` and what is only for explanations are `unknown`. Null: a macro is not written right. */
export function expandMacros(spec: string, values: MacroValues): string | null {
  let isWrong = false;
  const expanded = spec.replaceAll(/%(?:\{([a-z])(\d*)(r?)([.\-+,/_=]*)\}|(.?))/gi, (whole, ...groups) => {
    const [letter, digits, reverse, delimiters, other] = groups as (string | undefined)[];
    if (letter !== undefined)
      return transformed(valueOf(letter.toLowerCase(), values), {
        keep: Number(digits || 128),
        isReversed: reverse !== "",
        delimiters: delimiters || ".",
      });
    const plain = { "%": "%", _: " ", "-": "%20" }[other ?? ""];
    isWrong ||= plain === undefined;
    return plain ?? whole;
  });
  // A name that is too long loses labels from the left (§7.3).
  return isWrong ? null : shortened(expanded);
}

function valueOf(letter: string, { ip, domain, sender }: MacroValues): string {
  const at = sender.lastIndexOf("@");
  const values: Readonly<Record<string, string>> = {
    s: sender,
    l: sender.slice(0, at),
    o: sender.slice(at + 1),
    h: sender.slice(at + 1),
    d: domain,
    i: ipFamily(ip) === 4 ? ip : reversedLabels(ip).split("").toReversed().join(""),
    v: ipFamily(ip) === 4 ? "in-addr" : "ip6",
  };
  return values[letter] ?? "unknown";
}

function transformed(
  value: string,
  { keep, isReversed, delimiters }: { keep: number; isReversed: boolean; delimiters: string },
): string {
  const parts = value.split(new RegExp(`[${delimiters.replaceAll(/[-\]\\^]/g, String.raw`\$&`)}]`));
  return (isReversed ? parts.toReversed() : parts).slice(-keep).join(".");
}

const MAX_NAME_CHARS = 253;

function shortened(name: string): string {
  let rest = name.replace(/\.$/, "");
  while (rest.length > MAX_NAME_CHARS && rest.includes(".")) rest = rest.slice(rest.indexOf(".") + 1);
  return rest;
}
