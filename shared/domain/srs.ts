/**
 * The Sender Rewriting Scheme: a return path in our own domain for mail that we pass on for others, so that SPF of the next host is
 * content with it, and the way back for bounces. Nobody but the holder of the secret can make one that leads back.
 *
 *   SRS0=<hash>=<day>=<domain>=<local>@us        first hop
 *   SRS1=<hash>=<first hop>=<its SRS0>@us        later hops: a bounce goes to the first hop, which knows the sender
 */

import { createHmac, timingSafeEqual } from "node:crypto";

import type { Address } from "./address.ts";
import { domainOf, parseAddress } from "./address.ts";
import { DAY } from "./units.ts";
import type { EpochMs } from "./units.ts";

export interface Srs {
  readonly secret: string;
  /** Lower-case domain whose mail comes back to us. */
  readonly domain: string;
  /** Domains, besides that one, whose return paths stay as they are. */
  readonly excludeDomains: readonly string[];
}

export type SrsReversed =
  | { kind: "sender"; address: Address }
  /** Not one of ours: it is an address like any other. */
  | { kind: "plain" }
  | { kind: "refused"; reason: "forged" | "expired" };

/** 40 bits: who wants to send bounces to somebody by us has to guess that for each. */
const HASH_CHARS = 8;
/** Letters that survive a change of case. */
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const DAYS_IN_CYCLE = BASE32.length ** 2;
/** A bounce that comes later is none of this mail. */
const MAX_AGE_DAYS = 21;

const SRS0 = /^SRS0([=+-])(.+)$/is;
const SRS1 = /^SRS1[=+-]([^=]+)=([^=]+)=([=+-].+)$/is;
const OURS0 = /^SRS0[=+-]([^=]+)=([a-z2-7]{2})=([^=]+)=(.+)$/is;

/** The return path to send with. The same address when it needs no other, or when the other would be longer than SMTP allows. */
export function srsForward(returnPath: Address, srs: Srs, now: EpochMs): Address {
  const domain = domainOf(returnPath);
  if (domain === srs.domain || srs.excludeDomains.includes(domain)) return returnPath;
  const local = returnPath.slice(0, returnPath.lastIndexOf("@"));
  return parseAddress(`${rewritten(local, domain, srs, now)}@${srs.domain}`) ?? returnPath;
}

function rewritten(local: string, domain: string, srs: Srs, now: EpochMs): string {
  const later = SRS1.exec(local);
  if (later) return srs1(later[2] as string, later[3] as string, srs);
  const first = SRS0.exec(local);
  if (first) return srs1(domain, `${first[1]}${first[2]}`, srs);
  const day = dayOf(now);
  return `SRS0=${hashOf([day, domain, local], srs)}=${day}=${domain}=${local}`;
}

/** `rest` begins with the separator that the first hop has chosen. */
function srs1(firstHop: string, rest: string, srs: Srs): string {
  return `SRS1=${hashOf([firstHop, rest], srs)}=${firstHop}=${rest}`;
}

/** Where a bounce to this address goes. */
export function srsReverse(recipient: Address, srs: Srs, now: EpochMs): SrsReversed {
  if (domainOf(recipient) !== srs.domain) return { kind: "plain" };
  const local = recipient.slice(0, recipient.lastIndexOf("@"));
  const [, hash1, hop, rest] = SRS1.exec(local) ?? [];
  if (hash1 !== undefined && hop !== undefined && rest !== undefined) {
    return isHash(hash1, [hop, rest], srs) ? sender(`SRS0${rest}@${hop}`) : refused("forged");
  }
  const [, hash0, day, domain, name] = OURS0.exec(local) ?? [];
  if (hash0 !== undefined && day !== undefined && domain !== undefined && name !== undefined) {
    if (!isHash(hash0, [day, domain, name], srs)) return refused("forged");
    return ageOf(day, now) <= MAX_AGE_DAYS ? sender(`${name}@${domain}`) : refused("expired");
  }
  return /^SRS[01][=+-]/i.test(local) ? refused("forged") : { kind: "plain" };
}

function sender(text: string): SrsReversed {
  const address = parseAddress(text);
  return address === null ? refused("forged") : { kind: "sender", address };
}

function refused(reason: "forged" | "expired"): SrsReversed {
  return { kind: "refused", reason };
}

/** Over lower case: hosts on the way may change the case of a local part. */
function hashOf(parts: readonly string[], { secret }: Srs): string {
  const digest = createHmac("sha256", secret).update(parts.join("=").toLowerCase()).digest();
  return [...digest.subarray(0, HASH_CHARS)].map((byte) => BASE32[byte % BASE32.length]).join("");
}

function isHash(given: string, parts: readonly string[], srs: Srs): boolean {
  const [a, b] = [Buffer.from(given.toLowerCase()), Buffer.from(hashOf(parts, srs))];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The day in a cycle of 1,024, as two letters. */
function dayOf(now: EpochMs): string {
  const day = Math.floor(now / DAY) % DAYS_IN_CYCLE;
  return `${BASE32[Math.floor(day / BASE32.length)]}${BASE32[day % BASE32.length]}`;
}

/** In days; a day ahead of ours is nearly a cycle old. */
function ageOf(day: string, now: EpochMs): number {
  const [high = "", low = ""] = day.toLowerCase();
  const then = BASE32.indexOf(high) * BASE32.length + BASE32.indexOf(low);
  return (Math.floor(now / DAY) - then + DAYS_IN_CYCLE * 1_000) % DAYS_IN_CYCLE;
}
