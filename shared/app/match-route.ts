/** Which route of the table a request is for, by method and path: a trailing slash means the same as none, and HEAD the same as GET. */

import type { RouteName } from "./routes.ts";
import { ROUTE_NAMES, routes } from "./routes.ts";

/**
 * - `found` with the parameters, decoded · `method` the path is there for other methods only · `missing` no such path
 * - `malformed` a percent-escape that is none
 */
export type Match =
  | { kind: "found"; name: RouteName; params: Record<string, string> }
  | { kind: "method"; allow: string[] }
  | { kind: "missing" }
  | { kind: "malformed" };

const PATTERNS = ROUTE_NAMES.map((name) => ({
  name,
  method: routes[name].method,
  segments: routes[name].path.slice(1).split("/"),
}));

export function matchRoute(method: string, path: string): Match {
  const given = decodeSegments(path);
  if (given === null) return { kind: "malformed" };
  const wanted = method === "HEAD" ? "GET" : method;
  const allow = new Set<string>();
  for (const pattern of PATTERNS) {
    const params = matchSegments(pattern.segments, given);
    if (params === null) continue;
    if (pattern.method === wanted) return { kind: "found", name: pattern.name, params };
    allow.add(pattern.method);
    if (pattern.method === "GET") allow.add("HEAD");
  }
  return allow.size > 0 ? { kind: "method", allow: [...allow].toSorted() } : { kind: "missing" };
}

function decodeSegments(path: string): string[] | null {
  const trimmed = path.length > 1 && path.endsWith("/") ? path.slice(1, -1) : path.slice(1);
  try {
    return trimmed.split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
}

function matchSegments(pattern: readonly string[], given: readonly string[]): Record<string, string> | null {
  if (given.length > pattern.length) return null;
  const params: Record<string, string> = {};
  for (const [i, part] of pattern.entries()) {
    const value = given[i];
    if (!part.startsWith("{")) {
      if (value !== part) return null;
    } else if (value !== undefined && value !== "") {
      params[part.replaceAll(/[{}?]/g, "")] = value;
    } else if (!part.endsWith("?}")) {
      return null;
    }
  }
  return params;
}
