/** Keys and credentials. What is stored for an account or an API key is a hash, never the secret itself. */

/**
 * `dkim` keys that came with mail, by what they are · `dkim-domain` keys of a domain, by `<domain>/<selector>`
 * `account` scrypt hashes of SMTP passwords, by user · `api-key` hashed keys with scopes, by key id.
 */
export type SecretKind = "dkim" | "dkim-domain" | "account" | "api-key";

export interface SecretStore {
  get(kind: SecretKind, name: string): Promise<string | null>;
  /** Names in order. */
  list(kind: SecretKind): Promise<string[]>;
  put(kind: SecretKind, name: string, value: string): Promise<void>;
  /** Put unless there is one of that name. False: there is, and it stays. */
  add(kind: SecretKind, name: string, value: string): Promise<boolean>;
  remove(kind: SecretKind, name: string): Promise<boolean>;
}
