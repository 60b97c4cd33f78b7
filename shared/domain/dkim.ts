/**
 * DKIM signatures (RFC 6376, RFC 8463): keys, the choice among them, and the header that signs a message over the body hash
 * made at accept (dkim-body.ts). relaxed/relaxed, SHA-256, RSA and Ed25519. To be made last: no header may change after it.
 *
 * Headers are over-signed: each is named once more than it is there, so that nobody can add a second From or Subject, or a
 * List-Unsubscribe of his own, and keep the signature (RFC 6376 §8.15).
 */

import { createHash, createPrivateKey, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";

import type { Domain } from "./address.ts";
import { parseDomain } from "./address.ts";
import type { DkimKeySource } from "./config.ts";
import { DomainError } from "./errors.ts";
import type { Header, HeaderList } from "./headers.ts";
import { FOLD_BYTES, parseHeaders } from "./headers.ts";
import type { EpochMs } from "./units.ts";
import { SECOND } from "./units.ts";

export interface DkimKey {
  readonly domain: Domain;
  /** In A-labels, without `._domainkey`. */
  readonly selector: string;
  readonly algorithm: "rsa-sha256" | "ed25519-sha256";
  readonly key: KeyObject;
  /** What the operator should change about the key; null: nothing. */
  readonly warning: string | null;
}

/** Verifiers take no smaller RSA key (RFC 8301 §3.2), and signers should use none smaller than the second. */
const MIN_RSA_BITS = 1_024;
const GOOD_RSA_BITS = 2_048;

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

/** Not parseDomain: selectors such as `20261120` are no host names. */
const SELECTOR =
  /^(?=.{1,190}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;

/** Headers of one name that are signed: honest mail has a few, and `h=` must not grow with what a sender makes up. */
const MAX_SAME_NAME = 20;

/** Characters of the signature on a line. */
const SIGNATURE_LINE = 72;

/** Read a key once: from PEM each time, a signature would cost twice as much. Throws `invalid-config`, saying what to change. */
export function parseDkimKey(source: DkimKeySource): DkimKey {
  const { domain, selector } = parseDkimPlace(source);
  const name = `The DKIM key ${selector}._domainkey.${domain}`;
  const key = parsePrivateKey(name, source.privateKey);
  if (key.asymmetricKeyType === "ed25519")
    return { domain, selector, algorithm: "ed25519-sha256", key, warning: null };
  if (key.asymmetricKeyType !== "rsa") {
    throw invalid(`${name} is of the type ${key.asymmetricKeyType}: DKIM knows RSA and Ed25519.`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < MIN_RSA_BITS) {
    throw invalid(`${name} has ${bits} bits, and receivers ignore it: make one of ${GOOD_RSA_BITS} bits.`);
  }
  const warning =
    bits < GOOD_RSA_BITS
      ? `${name} has ${bits} bits: make one of ${GOOD_RSA_BITS} bits (RFC 8301 section 3.2).`
      : null;
  return { domain, selector, algorithm: "rsa-sha256", key, warning };
}

/** Whose key it is, and its name there. Throws `invalid-config`, saying what to change. */
export function parseDkimPlace(source: Pick<DkimKeySource, "domain" | "selector">): {
  domain: Domain;
  selector: string;
} {
  const domain = parseDomain(source.domain);
  if (domain === null || domain.startsWith("["))
    throw invalid(`${JSON.stringify(source.domain)} is not a domain name.`);
  const selector = source.selector.toLowerCase();
  if (!SELECTOR.test(selector)) {
    throw invalid(`The DKIM selector ${JSON.stringify(source.selector)} of ${domain} is not a DNS name.`);
  }
  return { domain, selector };
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
  readonly now: EpochMs;
}

/**
 * The DKIM-Signature headers to put above the block, one for each key in their order; empty: no keys.
 * Signs on the calling thread: about 0.3 ms for RSA of 2048 bits, a tenth of that for Ed25519. The thread pool takes as much
 * CPU, and was measured between 0.7 and 2.4 times as fast; more processes are the better answer.
 */
export function signatures(input: SigningInput): string {
  if (input.keys.length === 0) return "";
  const signed = signedHeaders(parseHeaders(input.headerBlock));
  return input.keys.map((key) => signature(key, signed, input)).join("");
}

interface SignedHeaders {
  /** As in `h=`. */
  readonly names: string;
  /** The headers it names, canonical, each with its CRLF. */
  readonly text: string;
}

/** Of headers with one name the lowest comes first (RFC 6376 §5.4.2); a name with no header left stands for none. */
function signedHeaders(headers: HeaderList): SignedHeaders {
  const byKey = Map.groupBy(headers, (header) => header.key);
  const names: string[] = [];
  let text = "";
  /** False: there are more of the name. */
  const add = (name: string): boolean => {
    const present: readonly Header[] = byKey.get(name.toLowerCase()) ?? [];
    for (const header of present.slice(-MAX_SAME_NAME).toReversed()) {
      names.push(name);
      text += `${canonical(header.line)}\r\n`;
    }
    return present.length <= MAX_SAME_NAME;
  };
  for (const name of OVER_SIGNED) if (add(name)) names.push(name);
  for (const name of SIGNED) add(name);
  return { names: names.join(":"), text };
}

function signature(key: DkimKey, signed: SignedHeaders, input: SigningInput): string {
  const unsigned = fold(
    `DKIM-Signature: v=1; a=${key.algorithm}; c=relaxed/relaxed; d=${key.domain}; s=${key.selector}; ` +
      `t=${Math.floor(input.now / SECOND)}; h=${signed.names}; bh=${input.bodyHash}; b=`,
  );
  const value = signBytes(key, Buffer.from(signed.text + canonical(unsigned), "latin1"));
  const lines = value.match(new RegExp(`.{1,${SIGNATURE_LINE}}`, "g")) ?? [];
  return `${unsigned}${lines.map((line) => `\r\n ${line}`).join("")}\r\n`;
}

/** Base64. Ed25519 signs the SHA-256 of the headers, not the headers (RFC 8463 §3). */
function signBytes(key: DkimKey, bytes: Buffer): string {
  if (key.algorithm === "rsa-sha256") return sign("sha256", bytes, key.key).toString("base64");
  return sign(null, createHash("sha256").update(bytes).digest(), key.key).toString("base64");
}

/** One header in the relaxed form of RFC 6376 §3.4.2, without the CRLF at its end. Works on one character per byte. */
function canonical(line: string): string {
  const colon = line.indexOf(":");
  const name = line.slice(0, colon).replaceAll(/[ \t]+/g, "");
  const value = line.slice(colon + 1).replaceAll("\r\n", "");
  const spaced = value.replaceAll(/[ \t]+/g, " ");
  const start = spaced.startsWith(" ") ? 1 : 0;
  const end = spaced.endsWith(" ") && spaced.length > start ? -1 : spaced.length;
  return `${name.toLowerCase()}:${spaced.slice(start, end)}`;
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

function parsePrivateKey(name: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    const error = invalid(`${name} is not a PEM private key without a passphrase.`);
    error.cause = cause;
    throw error;
  }
}

function invalid(message: string): DomainError {
  return new DomainError("invalid-config", message);
}
