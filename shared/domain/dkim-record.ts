/** The TXT record that publishes a DKIM key (RFC 6376 §3.6.1, RFC 8463 §4): as it is to be, and judged as it was found. */

import { createPublicKey } from "node:crypto";

import type { DkimKey } from "./dkim.ts";

/** Where verifiers look for it. */
export function dkimRecordName({
  selector,
  domain,
}: {
  readonly selector: string;
  readonly domain: string;
}): string {
  return `${selector}._domainkey.${domain}`;
}

export function dkimRecord(key: DkimKey): string {
  return `v=DKIM1; k=${keyType(key)}; p=${publicForms(key)[0]}`;
}

/**
 * - `matches` signatures of the key verify; `testing`: the record tells verifiers to make nothing of them (`t=y`)
 * - `other-key` it publishes another key · `revoked` it says that the key is no longer good · `broken` it is no DKIM record
 */
export type DkimVerdict =
  | { kind: "matches"; testing: boolean }
  | { kind: "other-key" }
  | { kind: "revoked" }
  | { kind: "broken"; detail: string };

export function judgeDkimRecord(text: string, key: DkimKey): DkimVerdict {
  const tags = tagsOf(text);
  if (tags === null) return broken("it is no list of tags");
  if ((tags.get("v") ?? "DKIM1") !== "DKIM1") return broken(`its version is ${tags.get("v")}`);
  const published = tags.get("p")?.replaceAll(/\s+/g, "");
  if (published === undefined) return broken("it has no p=");
  if (published === "") return { kind: "revoked" };
  const hashes = tags.get("h")?.split(":") ?? ["sha256"];
  if (!hashes.map((hash) => hash.trim()).includes("sha256")) return broken("its h= leaves out sha256");
  const services = tags.get("s")?.split(":") ?? ["*"];
  if (!services.some((service) => ["*", "email"].includes(service.trim())))
    return broken("its s= leaves out email");
  if ((tags.get("k") ?? "rsa") !== keyType(key)) return { kind: "other-key" };
  if (!publicForms(key).includes(published)) return { kind: "other-key" };
  const flags = tags.get("t")?.split(":") ?? [];
  return { kind: "matches", testing: flags.some((flag) => flag.trim() === "y") };
}

function keyType({ algorithm }: DkimKey): "rsa" | "ed25519" {
  return algorithm === "rsa-sha256" ? "rsa" : "ed25519";
}

/** What `p=` may be; the first is the usual one. */
function publicForms({ key, algorithm }: DkimKey): string[] {
  const publicKey = createPublicKey(key);
  const spki = publicKey.export({ type: "spki", format: "der" });
  // RFC 8463 §4.2: the 32 bytes of the key alone
  if (algorithm === "ed25519-sha256") return [spki.subarray(-32).toString("base64")];
  // The RFC's text speaks of the second, its example and everybody of the first; verifiers take both.
  return [spki, publicKey.export({ type: "pkcs1", format: "der" })].map((der) => der.toString("base64"));
}

/** RFC 6376 §3.2. Null: it is not a list of tags, each there once. */
function tagsOf(text: string): Map<string, string> | null {
  const tags = new Map<string, string>();
  for (const part of text.split(";")) {
    if (part.trim() === "") continue;
    const [, name, value = ""] = /^\s*([a-z][a-z0-9_]*)\s*=\s*([\s\S]*?)\s*$/i.exec(part) ?? [];
    if (name === undefined || tags.has(name)) return null;
    tags.set(name, value);
  }
  return tags;
}

function broken(detail: string): DkimVerdict {
  return { kind: "broken", detail };
}
