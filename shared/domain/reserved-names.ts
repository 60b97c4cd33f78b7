/** Names that nobody can own (RFC 2606, RFC 6761): mail for them can only be a test, and goes to the sandbox receiver. */

import type { Domain } from "./address.ts";

/** Names that are reserved together with everything below them. */
const RESERVED: ReadonlySet<string> = new Set([
  "test",
  "example",
  "invalid",
  "localhost",
  "example.com",
  "example.net",
  "example.org",
]);

/** True: a reserved name or one below it. An address literal is not a name. */
export function isReservedName(domain: Domain): boolean {
  const labels = domain.split(".");
  return RESERVED.has(labels.at(-1) as string) || RESERVED.has(labels.slice(-2).join("."));
}
