/** HTTP routes that plugins add with `app.addAPI`, under `/plugin/<key>`: how they are matched, and what handlers get and give. */

import type { PluginConfig } from "../domain/config.ts";

export interface PluginRequest {
  readonly method: string;
  readonly url: string;
  /** Under `/plugin/<key>`. */
  readonly path: string;
  /** Of the path, of the query and of a JSON or form body, the first of these first. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly query: Readonly<Record<string, string | readonly string[]>>;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** One of them, whatever its capitals. */
  header(name: string, otherwise?: string): string | undefined;
  /** JSON or a form as an object, else text; undefined: there is none. */
  readonly body: unknown;
}

/** What restify's answers and Node's have in common with most handlers written for them. */
export interface PluginResponse {
  statusCode: number;
  status(code: number): PluginResponse;
  setHeader(name: string, value: string | number): PluginResponse;
  /** The same. */
  header(name: string, value: string | number): PluginResponse;
  writeHead(code: number, headers?: Readonly<Record<string, string | number>>): PluginResponse;
  /** A piece of the answer, which goes when `end` is called. */
  write(text: string | Uint8Array): boolean;
  /** The last piece; without a content type all of them are plain text. */
  end(text?: string | Uint8Array): void;
  /** Answer with JSON, or with a status and JSON. */
  json(value: unknown): void;
  json(code: number, value: unknown): void;
  /** The same; a string is answered as text. */
  send(value: unknown): void;
  send(code: number, value: unknown): void;
}

/** May answer by `response`, or return what is to be answered as JSON. */
export type RouteHandler = (
  request: PluginRequest,
  response: PluginResponse,
  next: (error?: unknown) => void,
) => unknown;

export interface PluginRoute {
  readonly plugin: PluginConfig;
  readonly method: string;
  /** The whole path, parameters as `:name`. */
  readonly path: string;
  readonly handler: RouteHandler;
}

export const PLUGIN_PATH = "/plugin/";

/** `/plugin/<key><path>`; a slash is put between the two when there is none. */
export function routePath(key: string, path: string): string {
  const plain = key.replace(/^\.?\//, "");
  return `${PLUGIN_PATH}${plain}${path.startsWith("/") ? "" : "/"}${path}`;
}

export type RouteMatch =
  | { readonly kind: "found"; readonly route: PluginRoute; readonly params: Record<string, string> }
  | { readonly kind: "method"; readonly allow: readonly string[] }
  | { readonly kind: "missing" };

export function matchPluginRoute(routes: readonly PluginRoute[], method: string, path: string): RouteMatch {
  const here = routes.flatMap((route) => {
    const params = paramsOf(route.path, path);
    return params === null ? [] : [{ route, params }];
  });
  const found = here.find(({ route }) => route.method === method);
  if (found) return { kind: "found", ...found };
  return here.length > 0
    ? { kind: "method", allow: here.map(({ route }) => route.method) }
    : { kind: "missing" };
}

/** Null: it is another path. */
function paramsOf(pattern: string, path: string): Record<string, string> | null {
  const wanted = segmentsOf(pattern);
  const given = segmentsOf(path);
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (const [i, segment] of wanted.entries()) {
    const text = decoded(given[i] as string);
    if (text === null) return null;
    if (segment.startsWith(":")) params[segment.slice(1)] = text;
    else if (segment !== text) return null;
  }
  return params;
}

/** A slash at the end means the same as none. */
function segmentsOf(path: string): string[] {
  const segments = path.split("/");
  return segments.at(-1) === "" ? segments.slice(0, -1) : segments;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
