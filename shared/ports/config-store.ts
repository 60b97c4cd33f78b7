/**
 * Run-time rules and settings that outlive a restart: documents by kind and name, with a version that rises. All calls throw
 * invalid-request for a kind or a name that no document can have (domain/stored-name.ts).
 */

export interface ConfigDocument {
  readonly kind: string;
  readonly name: string;
  readonly version: number;
  /** JSON. */
  readonly value: unknown;
}

export interface ConfigStore {
  get(kind: string, name: string): Promise<ConfigDocument | null>;
  list(kind: string): Promise<ConfigDocument[]>;
  /** Write when the stored version is still `expected` (0: there is none yet). Null: it is another, and nothing was written. */
  put(
    document: { kind: string; name: string; value: unknown },
    expected: number,
  ): Promise<ConfigDocument | null>;
  remove(kind: string, name: string): Promise<boolean>;
}
