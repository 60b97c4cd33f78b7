/** A configuration as plain data: what TOML, JSON and a JavaScript module come down to. */

export type Value = string | number | boolean | null | Value[] | Tree;

export interface Tree {
  [key: string]: Value;
}

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `over` in place of what `under` has, object by object; lists are replaced whole. */
export function merged(under: Tree, over: Tree): Tree {
  const result: Tree = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const old = Object.hasOwn(result, key) ? result[key] : undefined;
    result[key] = isTree(old) && isTree(value) ? merged(old, value) : value;
  }
  return result;
}
