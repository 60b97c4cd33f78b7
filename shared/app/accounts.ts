/** SMTP accounts: who may submit by AUTH, and in whose name. Only the hash of a password is kept. */

import { parseAccount, parseSender, printAccount } from "../domain/account.ts";
import { DomainError } from "../domain/errors.ts";
import { hashPassword } from "../domain/password.ts";
import type { SecretStore } from "../ports/secret-store.ts";

/** Longer ones are refused before any work is done for them. */
export const MAX_CREDENTIAL_LENGTH = 256;
/** Domains and addresses of one account. */
const MAX_SENDERS = 1_000;

export interface NewAccount {
  readonly user: string;
  readonly password: string;
  /** Domains and addresses it may send from; left out: those it had, or any when it is new. */
  readonly senders?: readonly string[];
}

/**
 * Make the account or change it. Throws a `DomainError` on a name or password that no client could send, and on a sender that is
 * neither a domain nor an address.
 */
export async function putAccount(
  { secrets, randomBytes }: { secrets: SecretStore; randomBytes: (count: number) => Buffer },
  { user, password, senders }: NewAccount,
): Promise<void> {
  checkCredential("user", user);
  checkCredential("password", password);
  const limit = senders ? readSenders(senders) : await sendersOf(secrets, user);
  const passwordHash = await hashPassword(password, randomBytes);
  await secrets.put("account", user, printAccount({ passwordHash, senders: limit }));
}

/** Null: it may send from any, or there is no such account. */
export async function sendersOf(secrets: SecretStore, user: string): Promise<readonly string[] | null> {
  const stored = await secrets.get("account", user);
  return stored === null ? null : (parseAccount(stored)?.senders ?? null);
}

/** False: there is no such account. */
export function removeAccount({ secrets }: { secrets: SecretStore }, user: string): Promise<boolean> {
  return secrets.remove("account", user);
}

function readSenders(senders: readonly string[]): string[] {
  if (senders.length === 0 || senders.length > MAX_SENDERS) {
    throw new DomainError("invalid-request", `name 1 to ${MAX_SENDERS} domains or addresses`, "senders");
  }
  return senders.map((text) => {
    const sender = parseSender(text);
    if (sender !== null) return sender;
    const what = "is neither a domain such as example.com nor an address such as anna@example.com";
    throw new DomainError("invalid-request", `${JSON.stringify(text)} ${what}`, "senders");
  });
}

function checkCredential(path: "user" | "password", text: string): void {
  if (text === "" || text.length > MAX_CREDENTIAL_LENGTH || /[\x00-\x1f\x7f-\x9f]/.test(text)) {
    throw new DomainError(
      "invalid-request",
      `${path} must be 1 to ${MAX_CREDENTIAL_LENGTH} characters, none of them a control character`,
      path,
    );
  }
}
