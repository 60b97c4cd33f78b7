/** SMTP accounts: who may submit by AUTH. Only the hash of a password is kept. */

import { DomainError } from "../domain/errors.ts";
import { hashPassword } from "../domain/password.ts";
import type { SecretStore } from "../ports/secret-store.ts";

/** Longer ones are refused before any work is done for them. */
export const MAX_CREDENTIAL_LENGTH = 256;

/** Make the account or change its password. Throws a `DomainError` on a name or password that no client could send. */
export async function putAccount(
  { secrets, randomBytes }: { secrets: SecretStore; randomBytes: (count: number) => Buffer },
  { user, password }: { user: string; password: string },
): Promise<void> {
  checkCredential("user", user);
  checkCredential("password", password);
  await secrets.put("account", user, await hashPassword(password, randomBytes));
}

/** False: there is no such account. */
export function removeAccount({ secrets }: { secrets: SecretStore }, user: string): Promise<boolean> {
  return secrets.remove("account", user);
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
