/** The suppression list as an operator keeps it. */

import { parseAddress, parseDomain } from "../domain/address.ts";
import { DomainError } from "../domain/errors.ts";
import type { SuppressionEntry, SuppressionScope } from "../domain/suppression.ts";
import { GLOBAL_SCOPE, parseScopeUser } from "../domain/suppression.ts";
import type { EpochMs } from "../domain/units.ts";
import type { SuppressionRequest, SuppressionStore, SuppressionSubject } from "../ports/suppression-store.ts";
import { parseInput, quoted } from "./parse-input.ts";
import type { SubjectFields } from "./suppression-schemas.ts";
import { SuppressBody, UnsuppressBody } from "./suppression-schemas.ts";

export async function listSuppressions(
  store: SuppressionStore,
  { pageSize, cursor }: { pageSize: number; cursor: string | undefined },
) {
  const page = await store.list({ limit: pageSize, cursor: cursor ?? null });
  return { suppressed: page.entries.map(suppressionView), cursor: page.cursor };
}

/** `body` is a `SuppressBody`. Letters become small; what is there already stays as it is, and may get a later end. */
export async function suppress(store: SuppressionStore, body: unknown, now: EpochMs) {
  const entry = await store.add(readSuppression(body, now));
  return { suppressed: suppressionView(entry) };
}

/** `body` is `{ id }`, or what the entry is of. Throws not-found when there is no such entry. */
export async function unsuppress(store: SuppressionStore, body: unknown) {
  const { id, ...fields } = parseInput(UnsuppressBody, body);
  if (id !== undefined && Object.values(fields).some((field) => field !== undefined)) {
    throw new DomainError("invalid-request", "name the id, or what the entry is of, and not both");
  }
  const found = id ?? (await store.get(subjectOf(fields)))?.id;
  if (found !== undefined && (await store.remove(found))) return { deleted: found };
  const what = id ?? fields.address ?? fields.domain ?? "";
  throw new DomainError(
    "not-found",
    `there is no entry ${quoted(what)} on the suppression list`,
    id === undefined ? null : "id",
  );
}

/** An entry as it is asked for. Throws a `DomainError` for what is none. */
export function readSuppression(body: unknown, now: EpochMs): SuppressionRequest {
  const { reason, expires, ...fields } = parseInput(SuppressBody, body);
  const expiresAt = expires ? (Date.parse(expires) as EpochMs) : null;
  if (expiresAt !== null && expiresAt <= now) {
    throw new DomainError("invalid-request", "expires: that time has gone by", "expires");
  }
  return { ...subjectOf(fields), reason: reason ?? null, expiresAt };
}

export function suppressionView({
  id,
  createdAt,
  expiresAt,
  address,
  domain,
  scope,
  reason,
}: SuppressionEntry) {
  return {
    id,
    created: new Date(createdAt).toISOString(),
    ...(address === null ? {} : { address }),
    ...(domain === null ? {} : { domain }),
    scope: scope.kind,
    ...(scope.kind === "sender" ? { sender: scope.domain } : {}),
    ...(scope.kind === "user" ? { user: scope.user } : {}),
    reason,
    expires: expiresAt === null ? null : new Date(expiresAt).toISOString(),
  };
}

function subjectOf({ address, domain, ...fields }: SubjectFields): SuppressionSubject {
  if (!address === !domain) {
    throw new DomainError("invalid-request", "name an address or a domain, and not both");
  }
  const scope = scopeOf(fields);
  return address
    ? { address: valid(parseAddress(address.trim().toLowerCase()), address, "address"), scope }
    : { domain: valid(parseDomain((domain ?? "").trim()), domain ?? "", "domain"), scope };
}

function scopeOf({ scope, sender, user }: Omit<SubjectFields, "address" | "domain">): SuppressionScope {
  const meant = sender ? "sender" : user ? "user" : "global";
  if (sender && user) throw new DomainError("invalid-request", "name a sender or a user, and not both");
  if (scope && scope !== meant) {
    const missing = scope === "global" ? "names no sender and no user" : `names the ${scope}`;
    throw new DomainError("invalid-request", `scope: an entry of the scope ${scope} ${missing}`, "scope");
  }
  if (sender) return { kind: "sender", domain: valid(parseDomain(sender.trim()), sender, "sender") };
  if (!user) return GLOBAL_SCOPE;
  const name = parseScopeUser(user);
  if (name === null) throw new DomainError("invalid-request", `user: ${quoted(user)} is no user`, "user");
  return { kind: "user", user: name };
}

function valid<T>(parsed: T | null, text: string, field: string): T {
  if (parsed !== null) return parsed;
  const what = field === "address" ? "a mail address" : "a domain name";
  throw new DomainError("invalid-address", `${field}: ${quoted(text)} is not ${what}`, field);
}
