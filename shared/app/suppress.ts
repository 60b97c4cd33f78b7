/** The suppression list as an operator keeps it. */

import { parseAddress, parseDomain } from "../domain/address.ts";
import { DomainError } from "../domain/errors.ts";
import type { SuppressionEntry } from "../domain/suppression.ts";
import type { SuppressionStore } from "../ports/suppression-store.ts";
import { parseInput, quoted } from "./parse-input.ts";
import { SuppressBody, UnsuppressBody } from "./route-schemas.ts";

export async function listSuppressions(
  store: SuppressionStore,
  { pageSize, cursor }: { pageSize: number; cursor: string | undefined },
) {
  const page = await store.list({ limit: pageSize, cursor: cursor ?? null });
  return { suppressed: page.entries.map(entryView), cursor: page.cursor };
}

/** `body` is `{ address }` or `{ domain }`, with a reason or none. Letters become small; what is there already stays as it is. */
export async function suppress(store: SuppressionStore, body: unknown) {
  const { address, domain, reason } = parseInput(SuppressBody, body);
  if (!address === !domain) {
    throw new DomainError("invalid-request", "name an address or a domain, and not both");
  }
  const entry = address
    ? {
        address: valid(parseAddress(address.trim().toLowerCase()), address, "address"),
        reason: reason ?? null,
      }
    : { domain: valid(parseDomain((domain ?? "").trim()), domain ?? "", "domain"), reason: reason ?? null };
  return { suppressed: entryView(await store.add(entry)) };
}

/** `body` is `{ id }`. Throws not-found when there is no such entry. */
export async function unsuppress(store: SuppressionStore, body: unknown) {
  const { id } = parseInput(UnsuppressBody, body);
  if (await store.remove(id)) return { deleted: id };
  throw new DomainError("not-found", `there is no entry ${quoted(id)} on the suppression list`, "id");
}

function valid<T>(parsed: T | null, text: string, field: string): T {
  if (parsed !== null) return parsed;
  const what = field === "address" ? "a mail address" : "a domain name";
  throw new DomainError("invalid-address", `${field}: ${quoted(text)} is not ${what}`, field);
}

function entryView({ id, createdAt, address, domain, reason }: SuppressionEntry) {
  return {
    id,
    created: new Date(createdAt).toISOString(),
    ...(address === null ? {} : { address }),
    ...(domain === null ? {} : { domain }),
    reason,
  };
}
