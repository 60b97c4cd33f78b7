/**
 * DKIM signatures (RFC 6376, RFC 8463): keys, the choice among them, and the header that signs a message over the body hash
 * made at accept (dkim-body.ts) and the headers that it covers (dkim-headers.ts). relaxed/relaxed, SHA-256, RSA and Ed25519. To be
 * made last: no header may change after it.
 */

import { createHash, createPrivateKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";

import type { Domain } from "./address.ts";
import { parseDomain } from "./address.ts";
import type { AllMailKeySource, DkimKeySource } from "./config.ts";
import type { CoveredHeaders } from "./dkim-headers.ts";
import { canonicalHeader, coveredHeaders } from "./dkim-headers.ts";
import type { DkimKeyOptions, DkimTerms } from "./dkim-terms.ts";
import { termsOfOptions } from "./dkim-terms.ts";
import { DomainError } from "./errors.ts";
import { FOLD_BYTES, parseHeaders } from "./headers.ts";
import type { EpochMs } from "./units.ts";
import { SECOND } from "./units.ts";

export interface DkimKey {
  readonly domain: Domain;
  /** In A-labels, without `._domainkey`. */
  readonly selector: string;
  readonly algorithm: "rsa-sha256" | "ed25519-sha256";
  readonly key: KeyObject;
  /** Over those of the configuration. */
  readonly terms: Partial<DkimTerms>;
  /** What the operator should change about the key; null: nothing. */
  readonly warning: string | null;
}

/** Signs all mail, whosever it is. */
export type AllMailKey = Omit<DkimKey, "domain"> & {
  /** Null: that of the return path, and without one that of From. */
  readonly domain: Domain | null;
};

/** Verifiers take no smaller RSA key (RFC 8301 §3.2), and signers should use none smaller than the second. */
const MIN_RSA_BITS = 1_024;
const GOOD_RSA_BITS = 2_048;

/** Not parseDomain: selectors such as `20261120` are no host names. */
const SELECTOR =
  /^(?=.{1,190}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** A line end that was escaped once too often, as happens on the way through JSON and the environment: no PEM has a backslash. */
const ESCAPED_LINE_END = /(?:\\r)?\\n/g;

/** What people take for a private key, by what stands in it. */
const WRONG_PEM: readonly (readonly [label: RegExp, why: string])[] = [
  [/-----BEGIN (?:RSA )?PUBLIC KEY-----/, "is a public key: that is for the DNS, and the private one signs"],
  [/-----BEGIN CERTIFICATE-----/, "is a certificate: a private key signs"],
  [
    /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m,
    "has a passphrase: write it without one (openssl pkey -in <file> -out <new file>)",
  ],
  [
    /-----BEGIN OPENSSH PRIVATE KEY-----/,
    "is a key for SSH: make one for DKIM (npx zonefleet dkim generate)",
  ],
];

/** Characters of the signature on a line. */
const SIGNATURE_LINE = 72;

/** A key by ZoneMTA's names, from a plugin or the operator's directory, not read yet. Throws `invalid-request` for its terms. */
export function dkimSourceOf(named: NamedDkimKey): DkimKeySource {
  const { domainName: domain, keySelector: selector, privateKey } = named;
  const terms = termsOfOptions(named);
  return { domain, selector, privateKey, ...(terms && { terms }) };
}

export interface NamedDkimKey extends DkimKeyOptions {
  readonly domainName: string;
  readonly keySelector: string;
  readonly privateKey: string;
}

/** Read a key once: from PEM each time, a signature would cost twice as much. Throws `invalid-config`, saying what to change. */
export function parseDkimKey(source: DkimKeySource): DkimKey {
  const { domain, selector } = parseDkimPlace(source);
  return { ...parseKeyNamed(`${selector}._domainkey.${domain}`, source), domain, selector };
}

/** Throws `invalid-config`, saying what to change. */
export function parseAllMailKey(source: AllMailKeySource): AllMailKey {
  if (source.domain !== null) return parseDkimKey({ ...source, domain: source.domain });
  const selector = selectorOf(source, "all domains");
  return { ...parseKeyNamed(`${selector}._domainkey of all domains`, source), domain: null, selector };
}

function parseKeyNamed(
  name: string,
  { privateKey, terms }: Pick<DkimKeySource, "privateKey" | "terms">,
): Omit<DkimKey, "domain" | "selector"> {
  const read = readSigningPem(privateKey);
  if (read.kind === "wrong") throw invalid(`The DKIM key ${name} ${read.why}.`, read.cause);
  const { algorithm, key, advice } = read;
  const warning = advice === null ? null : `The DKIM key ${name} ${advice}.`;
  return { algorithm, key, terms: terms ?? {}, warning };
}

type SigningPem =
  /** `advice`: what should be changed; null: nothing. */
  | {
      readonly kind: "key";
      readonly algorithm: DkimKey["algorithm"];
      readonly key: KeyObject;
      readonly advice: string | null;
    }
  | { readonly kind: "wrong"; readonly why: string; readonly cause?: unknown };

/** A private key to sign with, or what is wrong with it, without a word of what is in it. */
export function readSigningPem(pem: string): SigningPem {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem.replaceAll(ESCAPED_LINE_END, "\n"));
  } catch (cause) {
    const why = WRONG_PEM.find(([label]) => label.test(pem))?.[1] ?? "is not a private key in PEM";
    return { kind: "wrong", why, cause };
  }
  const type = key.asymmetricKeyType;
  if (type === "ed25519") return { kind: "key", algorithm: "ed25519-sha256", key, advice: null };
  if (type !== "rsa") return { kind: "wrong", why: `is of the type ${type}: DKIM knows RSA and Ed25519` };
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < MIN_RSA_BITS)
    return {
      kind: "wrong",
      why: `has ${bits} bits, and receivers ignore it: make one of ${GOOD_RSA_BITS} bits`,
    };
  const advice =
    bits < GOOD_RSA_BITS
      ? `has ${bits} bits: make one of ${GOOD_RSA_BITS} bits (RFC 8301 section 3.2)`
      : null;
  return { kind: "key", algorithm: "rsa-sha256", key, advice };
}

/** Whose key it is, and its name there. Throws `invalid-config`, saying what to change. */
export function parseDkimPlace(source: Pick<DkimKeySource, "domain" | "selector">): {
  domain: Domain;
  selector: string;
} {
  const domain = parseDomain(source.domain);
  if (domain === null || domain.startsWith("["))
    throw invalid(`${JSON.stringify(source.domain)} is not a domain name.`);
  return { domain, selector: selectorOf(source, domain) };
}

function selectorOf(source: Pick<DkimKeySource, "selector">, domain: string): string {
  const selector = parseSelector(source.selector);
  if (selector !== null) return selector;
  throw invalid(`The DKIM selector ${JSON.stringify(source.selector)} of ${domain} is not a DNS name.`);
}

/** In lower-case A-labels; null: it is no name in the DNS. */
export function parseSelector(text: string): string | null {
  const selector = (parseDomain(text) ?? text).toLowerCase();
  return SELECTOR.test(selector) ? selector : null;
}

/** The domain and those above it, the nearest first. */
export function andParents(domain: string): string[] {
  const labels = domain.split(".");
  return labels.map((_, i) => labels.slice(i).join("."));
}

/** The keys that sign for a From domain: those of the domain and of its parents, the nearest first, so that DMARC finds them aligned. */
export function keysFor(keys: readonly DkimKey[], fromDomain: Domain): DkimKey[] {
  return keys
    .filter((key) => fromDomain === key.domain || fromDomain.endsWith(`.${key.domain}`))
    .toSorted((a, b) => b.domain.length - a.domain.length);
}

export interface SigningInput {
  /** The header block as it will be sent. */
  readonly headerBlock: Buffer;
  /** Base64. */
  readonly bodyHash: string;
  readonly keys: readonly DkimKey[];
  /** Of keys that have none of their own. */
  readonly terms: DkimTerms;
  readonly now: EpochMs;
}

/**
 * The DKIM-Signature headers to put above the block, one for each key in their order; empty: no keys.
 * Signs on the calling thread: about 0.3 ms for RSA of 2048 bits, a tenth of that for Ed25519. The thread pool takes as much
 * CPU, and was measured between 0.7 and 2.4 times as fast; more processes are the better answer.
 */
export function signatures(input: SigningInput): string {
  if (input.keys.length === 0) return "";
  const headers = parseHeaders(input.headerBlock);
  const usual = coveredHeaders(headers, input.terms); // nearly always those of all keys
  return input.keys
    .map((key) => {
      const terms = { ...input.terms, ...key.terms };
      return signature(key, areCoveredAlike(terms, input.terms) ? usual : coveredHeaders(headers, terms), {
        ...input,
        terms,
      });
    })
    .join("");
}

/** False may mean that they are but for being read apart. */
function areCoveredAlike(one: DkimTerms, other: DkimTerms): boolean {
  return (
    one.headerFields === other.headerFields && one.additionalHeaderFields === other.additionalHeaderFields
  );
}

function signature(key: DkimKey, covered: CoveredHeaders, input: SigningInput): string {
  const unsigned = fold(
    `DKIM-Signature: v=1; a=${key.algorithm}; c=relaxed/relaxed; d=${key.domain}; s=${key.selector}; ` +
      `${times(input)}h=${covered.names}; bh=${input.bodyHash}; b=`,
  );
  const value = signBytes(key, Buffer.from(covered.text + canonicalHeader(unsigned), "latin1"));
  const lines = value.match(new RegExp(`.{1,${SIGNATURE_LINE}}`, "g")) ?? [];
  return `${unsigned}${lines.map((line) => `\r\n ${line}`).join("")}\r\n`;
}

function times({ terms, now }: SigningInput): string {
  if (!terms.timestamp) return "";
  const seconds = Math.floor(now / SECOND);
  return terms.expireInSeconds === null
    ? `t=${seconds}; `
    : `t=${seconds}; x=${seconds + terms.expireInSeconds}; `;
}

/** Base64. Ed25519 signs the SHA-256 of the headers, not the headers (RFC 8463 §3). */
function signBytes(key: DkimKey, bytes: Buffer): string {
  if (key.algorithm === "rsa-sha256") return sign("sha256", bytes, key.key).toString("base64");
  return sign(null, createHash("sha256").update(bytes).digest(), key.key).toString("base64");
}

/** Break after spaces, and in `h=` after colons, where RFC 6376 §3.5 allows it. */
function fold(tags: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of tags.match(/[^ :]+[ :]*/g) ?? []) {
    if (line !== "" && line.length + word.trimEnd().length > FOLD_BYTES) {
      lines.push(line.trimEnd());
      line = " ";
    }
    line += word;
  }
  lines.push(line);
  return lines.join("\r\n");
}

function invalid(message: string, cause?: unknown): DomainError {
  const error = new DomainError("invalid-config", message);
  if (cause !== undefined) error.cause = cause;
  return error;
}
