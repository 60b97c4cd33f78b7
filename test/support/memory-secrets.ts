/** A SecretStore in memory. */

import type { SecretStore } from "#shared/ports/secret-store.ts";

export function memorySecrets(): SecretStore {
  const secrets = new Map<string, string>();
  const keyOf = (kind: string, name: string): string => `${kind}/${name}`;
  return {
    get: (kind, name) => Promise.resolve(secrets.get(keyOf(kind, name)) ?? null),
    list: (kind) => {
      const prefix = keyOf(kind, "");
      const names = [...secrets.keys()]
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length));
      return Promise.resolve(names.toSorted());
    },
    put: (kind, name, value) => {
      secrets.set(keyOf(kind, name), value);
      return Promise.resolve();
    },
    add: (kind, name, value) => {
      const isNew = !secrets.has(keyOf(kind, name));
      if (isNew) secrets.set(keyOf(kind, name), value);
      return Promise.resolve(isNew);
    },
    remove: (kind, name) => Promise.resolve(secrets.delete(keyOf(kind, name))),
  };
}
