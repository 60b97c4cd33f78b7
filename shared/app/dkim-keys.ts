/**
 * DKIM keys that an operator puts, lists and removes while mail is sent. What is answered is the record to publish: a private key
 * goes in and never comes out. Which of them sign a mail: domain-keys.ts, domain/dkim.ts.
 *
 * A key is never replaced by another under its selector, for the DNS would go on publishing the first.
 */

import { generateKeyPair } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { promisify } from "node:util";

import * as z from "zod";

import type { DkimConfig } from "../domain/config.ts";
import { dkimRecord, dkimRecordName } from "../domain/dkim-record.ts";
import type { DkimKey } from "../domain/dkim.ts";
import { parseDkimKey, parseDkimPlace } from "../domain/dkim.ts";
import { DomainError } from "../domain/errors.ts";
import type { EpochMs } from "../domain/units.ts";
import type { SecretStore } from "../ports/secret-store.ts";
import type { DkimAlgorithm, DkimKeyView } from "./dkim-schemas.ts";

/** A mail gets a signature of each, so a few: one for each algorithm, and the next ones while they change. */
const MAX_KEYS_OF_DOMAIN = 10;
/** Senders list the names of all of them twice a minute. */
const MAX_KEYS = 10_000;
const NEW_RSA_BITS = 2_048;

const StoredKey = z.object({
  domain: z.string(),
  selector: z.string(),
  privateKey: z.string(),
  created: z.number(),
});
type StoredKey = z.output<typeof StoredKey>;

type Place = Pick<StoredKey, "domain" | "selector">;

export interface DkimKeysDeps {
  readonly secrets: SecretStore;
  /** Where the keys of the configuration are at hand; a Lambda has none. */
  readonly dkim: Pick<DkimConfig, "keys" | "allMailKey">;
}

const generate = promisify(generateKeyPair);

/** `pem` empty: a key is made. Asked again for the same, it answers the same. */
export async function putDkimKey(
  { secrets, dkim }: DkimKeysDeps,
  asked: Place & { readonly pem: string; readonly algorithm: DkimAlgorithm | undefined },
  now: EpochMs,
): Promise<{ key: DkimKeyView }> {
  const place = placeOf(asked);
  refuseConfigured(place, dkim);
  const { algorithm } = asked;
  const isGiven = asked.pem.trim() !== "";
  if (isGiven && algorithm !== undefined)
    throw invalid("algorithm: it is for a key that is made here; leave it out, or the body");
  const given = isGiven ? asCaller(() => parseDkimKey({ ...place, privateKey: asked.pem })) : null;
  const present = await readKey(secrets, nameOf(place));
  if (present) return { key: samePresent(present, given, algorithm) };
  await checkRoom(secrets, place.domain);
  const privateKey = pemOf(given === null ? await newKey(algorithm ?? "rsa") : given.key);
  const stored = { ...place, privateKey, created: now };
  if (await secrets.add("dkim-domain", nameOf(place), JSON.stringify(stored))) return { key: viewOf(stored) };
  const first = await readKey(secrets, nameOf(place));
  if (first) return { key: samePresent(first, given, algorithm) };
  throw new DomainError(
    "conflict",
    `${dkimRecordName(place)} was put and removed at the same time; try again`,
  );
}

/** A page of those of a domain, or of all, in the order of domain and selector. */
export async function listDkimKeys(
  secrets: SecretStore,
  asked: { domain: string | undefined; cursor: string | undefined; pageSize: number },
): Promise<{ keys: DkimKeyView[]; cursor: string | null }> {
  const { cursor: after = "", pageSize } = asked;
  const prefix = asked.domain === undefined ? "" : `${domainNamed(asked.domain)}/`;
  const names = (await secrets.list("dkim-domain")).filter((name) => name.startsWith(prefix) && name > after);
  const page = names.slice(0, pageSize);
  const keys: DkimKeyView[] = [];
  for (const name of page) {
    const stored = await readKey(secrets, name);
    if (stored) keys.push(viewOf(stored));
  }
  return { keys, cursor: names.length > page.length ? (page.at(-1) ?? null) : null };
}

export async function removeDkimKey(secrets: SecretStore, asked: Place): Promise<{ deleted: string }> {
  const place = placeOf(asked);
  const deleted = dkimRecordName(place);
  if (!(await secrets.remove("dkim-domain", nameOf(place))))
    throw new DomainError("not-found", `there is no key ${deleted} here`);
  return { deleted };
}

/** Null: it is gone. */
export async function readKey(secrets: Pick<SecretStore, "get">, name: string): Promise<StoredKey | null> {
  const text = await secrets.get("dkim-domain", name);
  return text === null ? null : StoredKey.parse(JSON.parse(text));
}

function nameOf({ domain, selector }: Place): string {
  return `${domain}/${selector}`;
}

function viewOf(stored: StoredKey): DkimKeyView {
  const key = parseDkimKey(stored);
  const { domain, selector, algorithm, warning } = key;
  const dns = { name: dkimRecordName(key), type: "TXT" as const, value: dkimRecord(key) };
  return { domain, selector, algorithm, created: new Date(stored.created).toISOString(), dns, warning };
}

/** Throws `conflict` when what is there is not what was asked for. */
function samePresent(
  present: StoredKey,
  given: DkimKey | null,
  algorithm: DkimAlgorithm | undefined,
): DkimKeyView {
  const view = viewOf(present);
  const isSame = given
    ? dkimRecord(given) === view.dns.value
    : algorithm === undefined || view.algorithm === `${algorithm}-sha256`;
  if (isSame) return view;
  const text = `there is another key ${view.dns.name}; use another selector, or remove that key first`;
  throw new DomainError("conflict", text, "selector");
}

/** That one would go on signing, and fail where the record of another is published. */
function refuseConfigured(
  place: ReturnType<typeof placeOf>,
  { keys, allMailKey }: DkimKeysDeps["dkim"],
): void {
  const ofPlugin = allMailKey === null ? [] : [{ ...allMailKey, domain: allMailKey.domain ?? place.domain }];
  if (![...keys, ...ofPlugin].some((key) => nameOf(placeOf(key)) === nameOf(place))) return;
  const text = `the configuration has a key ${dkimRecordName(place)}; use another selector`;
  throw new DomainError("conflict", text, "selector");
}

async function checkRoom(secrets: SecretStore, domain: string): Promise<void> {
  const names = await secrets.list("dkim-domain");
  const ofDomain = names.filter((name) => name.startsWith(`${domain}/`)).length;
  if (ofDomain >= MAX_KEYS_OF_DOMAIN)
    throw new DomainError("conflict", `${domain} has ${ofDomain} keys already; remove one first`, "domain");
  if (names.length >= MAX_KEYS)
    throw new DomainError("conflict", `there are ${names.length} keys already; remove some first`);
}

async function newKey(algorithm: DkimAlgorithm): Promise<KeyObject> {
  const { privateKey } =
    algorithm === "rsa"
      ? await generate("rsa", { modulusLength: NEW_RSA_BITS })
      : await generate("ed25519", {});
  return privateKey;
}

/** PKCS #8, whether the key was made here or given. */
function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

function placeOf({ domain, selector }: Place): ReturnType<typeof parseDkimPlace> {
  return asCaller(() => parseDkimPlace({ domain, selector }));
}

function domainNamed(domain: string): string {
  return placeOf({ domain, selector: "any" }).domain;
}

/** What is wrong with a key is the mistake of who sends it here, and not one of the configuration. */
function asCaller<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof DomainError) throw invalid(error.message);
    throw error;
  }
}

function invalid(text: string): DomainError {
  return new DomainError("invalid-request", text);
}
