/** Keys of the items of limits: `l#<kind>#<name>`, `s`. */

import { createHash } from "node:crypto";

import type { ItemKey } from "./keys.ts";
import { KINDS } from "./keys.ts";

/** What is longer goes by its digest: a name is paid for with every write. */
const MAX_NAME_BYTES = 120;

/** `s` slots · `r` rates · `w` warm-up · `c` counts in windows. */
export function limitKey(kind: "s" | "r" | "w" | "c", name: string): ItemKey {
  return { PK: `${KINDS.limit}${kind}#${nameIn(name)}`, SK: "s" };
}

function nameIn(name: string): string {
  const isPlain = Buffer.byteLength(name) <= MAX_NAME_BYTES && name.isWellFormed() && !name.includes("\0");
  return isPlain ? name : digestOf([name]);
}

export function digestOf(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}
