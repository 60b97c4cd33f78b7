/** Names under which stores keep documents and secrets: any text that fits into a key of each of them. */

import { DomainError } from "./errors.ts";

/** DynamoDB takes sort keys of 1,024 bytes, LMDB keys of 1,978. */
export const MAX_NAME_BYTES = 1_000;
const KIND = /^[a-z][a-z0-9-]{0,63}$/;

export function isStorableName(name: string): boolean {
  const bytes = Buffer.byteLength(name);
  return bytes > 0 && bytes <= MAX_NAME_BYTES && name.isWellFormed() && !name.includes("\0");
}

/** Throws invalid-request for what is no kind of document. */
export function checkKind(kind: string): void {
  if (KIND.test(kind)) return;
  throw new DomainError("invalid-request", "a kind is of lower-case letters, digits and hyphens", "kind");
}

/** Throws invalid-request for a name that no document can have. */
export function checkDocumentName(name: string): void {
  if (isStorableName(name)) return;
  throw new DomainError("invalid-request", `a name has 1 to ${MAX_NAME_BYTES} bytes of text`, "name");
}
