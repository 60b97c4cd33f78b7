/** Addresses and domains not to send to: for everybody's mail, or for that of one sender domain or one user. */

import type { Address, Domain } from "./address.ts";
import { domainOf, localPartOf } from "./address.ts";
import type { EpochMs } from "./units.ts";

/** Whose mail an entry stops: everybody's, that of return paths at one domain, or that of one authenticated user. */
export type SuppressionScope =
  | { readonly kind: "global" }
  | { readonly kind: "sender"; readonly domain: Domain }
  | { readonly kind: "user"; readonly user: string };

export const GLOBAL_SCOPE: SuppressionScope = { kind: "global" };

export interface SuppressionEntry {
  /** Unique; made by the store. */
  readonly id: string;
  /** Exactly one of `address` and `domain` is not null. */
  readonly address: Address | null;
  readonly domain: Domain | null;
  readonly scope: SuppressionScope;
  readonly createdAt: EpochMs;
  /** From then on the entry is as if it had never been; null: it stays. */
  readonly expiresAt: EpochMs | null;
  /** Why, in the words of who added it; null: not said. */
  readonly reason: string | null;
}

/** What of a mail decides which scopes it is in. */
export interface MailOwner {
  readonly returnPath: Address | null;
  /** Authenticated user; null: none. */
  readonly user: string | null;
}

const MAX_USER_CHARS = 256;

/** What is looked up for a recipient: the address without regard to case, then its domain. */
export function suppressionKeys(recipient: Address): { address: string; domain: Domain } {
  const domain = domainOf(recipient);
  return { address: `${localPartOf(recipient).toLowerCase()}@${domain}`, domain };
}

/** Null: too long for a user, empty, or with characters that no name has. No entry can be of such a user. */
export function parseScopeUser(text: string): string | null {
  const isUser = text !== "" && text.length <= MAX_USER_CHARS && !/\p{Cc}/u.test(text) && text.isWellFormed();
  return isUser ? text : null;
}

/** The scopes that a mail is in, the widest first. */
export function scopesOf({ returnPath, user }: MailOwner): SuppressionScope[] {
  const name = user === null ? null : parseScopeUser(user);
  return [
    GLOBAL_SCOPE,
    ...(returnPath === null ? [] : [{ kind: "sender" as const, domain: domainOf(returnPath) }]),
    ...(name === null ? [] : [{ kind: "user" as const, user: name }]),
  ];
}

/** The scope as one text, for keys of stores: no two scopes have the same. */
export function scopeKey(scope: SuppressionScope): string {
  switch (scope.kind) {
    case "global":
      return "";
    case "sender":
      return `d#${scope.domain}`;
    case "user":
      return `u#${scope.user}`;
  }
}

export function isExpired({ expiresAt }: Pick<SuppressionEntry, "expiresAt">, now: EpochMs): boolean {
  return expiresAt !== null && expiresAt <= now;
}

/** True: an entry that ends at `a` stops mail for longer than one that ends at `b`. Null never ends. */
export function endsLater(a: EpochMs | null, b: EpochMs | null): boolean {
  return b !== null && (a === null || a > b);
}

/** The scope of a stored entry: of a sender domain, else of a user, else global. */
export function scopeOf(sender: string | undefined, user: string | undefined): SuppressionScope {
  if (sender !== undefined) return { kind: "sender", domain: sender as Domain };
  return user === undefined ? GLOBAL_SCOPE : { kind: "user", user };
}
