/**
 * What ZoneMTA was given besides its files: `APPCONF_a_b` in its environment, and `--a.b=` on its command line. The value is of the
 * type of what it takes the place of, as in ZoneMTA.
 */

import { DomainError } from "#shared/domain/errors.ts";

import type { Tree, Value } from "./tree.ts";
import { isTree } from "./tree.ts";

const PREFIX = /^appconf_/i;
const NO = new Set(["false", "null", "undefined", "no", "0", ""]);

export interface Override {
  readonly path: readonly string[];
  readonly text: string;
}

export function overridesOf(variables: Readonly<Record<string, string | undefined>>): Override[] {
  return Object.entries(variables).flatMap(([name, text]) =>
    PREFIX.test(name) && text !== undefined ? [{ path: name.replace(PREFIX, "").split("_"), text }] : [],
  );
}

/** Of `a.b=value`. Null: it is not written so. */
export function parseOverride(written: string): Override | null {
  const [, path, text] = /^([^=]+)=(.*)$/s.exec(written) ?? [];
  return path === undefined || text === undefined ? null : { path: path.split("."), text };
}

/** Changes `tree`. */
export function override(tree: Tree, { path, text }: Override): void {
  const [last = "", ...above] = path.toReversed();
  if (path.some((key) => key === "__proto__" || key === ""))
    throw new DomainError("invalid-config", `${path.join(".")} is no path of a key`);
  let holder = tree;
  for (const key of above.toReversed()) {
    const there = Object.hasOwn(holder, key) ? holder[key] : (holder[key] = {});
    if (!isTree(there)) throw new DomainError("invalid-config", `${path.join(".")}: ${key} is no object`);
    holder = there;
  }
  holder[last] = valueOf(text, Object.hasOwn(holder, last) ? holder[last] : undefined);
}

function valueOf(text: string, old: Value | undefined): Value {
  if (Array.isArray(old)) return text.trim().split(/\s*,\s*/);
  if (typeof old === "boolean") return !NO.has(text.toLowerCase());
  if (typeof old === "string") return text;
  if (text !== "" && Number.isFinite(Number(text))) return Number(text);
  return old === undefined && ["true", "false"].includes(text) ? text === "true" : text;
}
