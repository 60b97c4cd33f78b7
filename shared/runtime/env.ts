/** The environment as settings are read from it. */

export type Env = Readonly<Record<string, string | undefined>>;

/** Null: unset or empty, which a shell makes of an unset one. */
export function valueOf(env: Env, name: string): string | null {
  const text = env[name]?.trim();
  return text === undefined || text === "" ? null : text;
}
