/** What tells two configurations apart: SHA-256 over JSON with sorted keys, maps as objects. */

import { hash } from "node:crypto";

import type { Config } from "./config.ts";

export function digestOf(config: Omit<Config, "digest">): string {
  const canonical = JSON.stringify(config, (_key, value: unknown) => {
    const plain: unknown = value instanceof Map ? Object.fromEntries(value) : value;
    if (typeof plain !== "object" || plain === null || Array.isArray(plain)) return plain;
    return Object.fromEntries(Object.entries(plain).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
  return hash("sha256", canonical, "hex");
}
