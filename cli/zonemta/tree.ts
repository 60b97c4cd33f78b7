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

/** True: there is nothing in it but what JSON can hold. */
export function isValue(value: unknown): value is Value {
  if (value === null || ["string", "number", "boolean"].includes(typeof value)) return true;
  return typeof value === "object" && Object.values(value).every(isValue);
}

/** The object under `key`; an empty one of its own where there is none. */
export function treeAt(tree: Tree, key: string): Tree {
  const value = Object.hasOwn(tree, key) ? tree[key] : undefined;
  return isTree(value) ? value : {};
}

/** The objects under `key`, by name. */
export function treesIn(tree: Tree, key: string): [name: string, one: Tree][] {
  return Object.entries(treeAt(tree, key)).flatMap(([name, one]) => (isTree(one) ? [[name, one]] : []));
}
