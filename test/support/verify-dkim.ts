/** A DKIM verifier of our own for tests, written from RFC 6376 without a look at the signer. relaxed/relaxed only. */

import { createHash, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";

/** One answer for each DKIM-Signature from the top. `keys` by `selector._domainkey.domain`. */
export function verifyDkim(message: Buffer, keys: Readonly<Record<string, KeyObject>>): boolean[] {
  const text = message.toString("latin1");
  const split = text.indexOf("\r\n\r\n");
  const fields = `${text.slice(0, split)}\r\n`.match(/[^\r\n][^\r]*\r\n(?:[ \t][^\r]*\r\n)*/g) ?? [];
  const body = relaxedBody(text.slice(split + 4));
  return fields
    .filter((field) => /^dkim-signature:/i.test(field))
    .map((field) => verifySignature(field, fields, body, keys));
}

/** RFC 6376 §3.4.4, line by line. */
export function relaxedBody(body: string): string {
  const lines = body.split("\r\n").map((line) => line.replace(/[ \t]+/g, " ").replace(/ $/, ""));
  while (lines.at(-1) === "") lines.pop();
  return lines.map((line) => `${line}\r\n`).join("");
}

function verifySignature(
  field: string,
  fields: readonly string[],
  body: string,
  keys: Readonly<Record<string, KeyObject>>,
): boolean {
  const tags = tagsOf(field);
  const tag = (name: string): string => tags.get(name) ?? "";
  const bodyHash = createHash("sha256").update(body, "latin1").digest("base64");
  if (tag("v") !== "1" || tag("c") !== "relaxed/relaxed" || tag("bh") !== bodyHash) return false;
  const left = [...fields];
  const signed = tag("h")
    .toLowerCase()
    .split(":")
    .map((name) => {
      const index = left.findLastIndex((other) => other.toLowerCase().split(":")[0]?.trim() === name);
      return index === -1 ? "" : relaxedField(left.splice(index, 1)[0] as string);
    });
  const unsigned = relaxedField(field.replace(/([;\s]b=)[^;]*$/, "$1")).replace(/\r\n$/, "");
  const data = Buffer.from(signed.join("") + unsigned, "latin1");
  const key = keys[`${tag("s")}._domainkey.${tag("d")}`];
  if (!key) return false;
  const value = Buffer.from(tag("b"), "base64");
  if (tag("a") === "rsa-sha256") return verify("sha256", data, key, value);
  if (tag("a") !== "ed25519-sha256") return false;
  return verify(null, createHash("sha256").update(data).digest(), key, value);
}

function tagsOf(field: string): Map<string, string> {
  const list = field.slice(field.indexOf(":") + 1).split(";");
  return new Map(
    list.map((tag) => {
      const [name = "", ...value] = tag.split("=");
      return [name.trim(), value.join("=").replace(/\s+/g, "")];
    }),
  );
}

function relaxedField(field: string): string {
  const [name = "", ...value] = field.split(":");
  const flat = value
    .join(":")
    .replace(/\r\n/g, "")
    .replace(/[ \t]+/g, " ");
  return `${name.toLowerCase().trim()}:${flat.replace(/^ | $/g, "")}\r\n`;
}
