/** The HTTP API as an OpenAPI 3.1 document, made from the route table and its schemas. */

import * as z from "zod";

import type { Answer, Route, RouteBody, RouteName, Scope } from "./routes.ts";
import { pathsOf, ROUTE_NAMES, routes } from "./routes.ts";
import { ErrorAnswer } from "./route-schemas.ts";

type Json = Readonly<Record<string, unknown>>;

const FAILURES: Readonly<Record<number, string>> = {
  400: "The request is wrong; `path` says where",
  401: "No API key (or login), or one that is not known",
  403: "The API key lacks the scope",
  404: "There is no such thing",
  409: "It is there, and not in a state for this",
  410: "It was there, and is not kept any more",
  413: "The request, or what is asked for, is too large; `POST /uploads` is for larger mail, where it is needed",
  415: "The request has a content type that is not taken here",
  422: "The request is understood and breaks a limit, or its Idempotency-Key is of another request",
  429: "Too many ask at once; try again",
  500: "Our fault",
  503: "Our fault: nothing was stored; try again",
};

/** Answers that a route is for, where they are another than 200. */
const DONE: Readonly<Record<number, string>> = { 202: "Taken", 501: "Not offered, and why" };

const ELSEWHERE = {
  description: "It is to be got at the URL in Location, without the API key, within minutes",
  headers: { Location: { schema: { type: "string", format: "uri" } } },
};

const SECURITY_SCHEMES = {
  apiKey: { type: "http", scheme: "bearer", description: "API key `<id>.<secret>`" },
  apiKeyBasic: {
    type: "http",
    scheme: "basic",
    description: "the same, `<id>` as user and `<secret>` as password",
  },
  login: { type: "http", scheme: "basic", description: "user and password of an SMTP account" },
};

let document: Json | null = null;

/** Made once, when first asked for. */
export function openApiDocument(): Json {
  document ??= {
    openapi: "3.1.0",
    info: {
      title: "ZoneFleet",
      version: "1.0.0",
      description: "Hand in mail, see what became of it, and steer the queue.",
    },
    servers: [{ url: "/" }],
    paths: pathItems(),
    components: {
      schemas: { Error: schemaOf(ErrorAnswer, "output") },
      securitySchemes: SECURITY_SCHEMES,
    },
  };
  return document;
}

function pathItems(): Json {
  const items: Record<string, Record<string, Json>> = {};
  for (const name of ROUTE_NAMES) {
    const route = routes[name];
    for (const [i, path] of pathsOf(route).entries()) {
      (items[path] ??= {})[route.method.toLowerCase()] = operation(
        route,
        path,
        i === 0 ? name : `${name}One`,
      );
    }
  }
  return items;
}

function operation(route: Route, path: string, operationId: RouteName | `${RouteName}One`): Json {
  const failures = [400, ...refusalsOf(route.scope), ...route.failures, 500];
  return {
    operationId,
    summary: route.summary,
    ...securityOf(route.scope),
    parameters: [
      ...parameters(route.params, "path").filter(({ name }) => path.includes(`{${String(name)}}`)),
      ...parameters(route.query, "query"),
      ...parameters(route.headers, "header"),
    ],
    ...(route.body ? { requestBody: requestBody(route.body) } : {}),
    responses: {
      [String(route.answer.status ?? 200)]: {
        description: DONE[route.answer.status ?? 200] ?? "Done",
        content: { [route.answer.contentType]: { schema: answerSchema(route.answer) } },
      },
      ...(route.answer.elsewhere ? { "307": ELSEWHERE } : {}),
      ...Object.fromEntries([...new Set(failures)].map((status) => [String(status), failure(status)])),
    },
  };
}

function securityOf(scope: Scope): Json {
  if (scope === "none") return { security: [] };
  if (scope === "login") return { security: [{ login: [] }] };
  return { security: [{ apiKey: [] }, { apiKeyBasic: [] }], "x-scope": scope };
}

function refusalsOf(scope: Scope): number[] {
  if (scope === "none") return [];
  return scope === "login" ? [401] : [401, 403];
}

function parameters(schema: z.ZodType, place: "path" | "query" | "header"): Json[] {
  const { properties = {}, required = [] } = schemaOf(schema, "input") as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: rest,
  }));
}

function requestBody({ contentTypes, schema, optional }: RouteBody): Json {
  const content = {
    schema: schema ? schemaOf(schema, "input") : { type: "string", contentMediaType: contentTypes[0] },
  };
  return {
    required: optional !== true,
    content: Object.fromEntries(contentTypes.map((type) => [type, content])),
  };
}

function answerSchema({ contentType, schema }: Answer): Json {
  if (schema) return schemaOf(schema, "output");
  return contentType === "application/json" ? { type: "object" } : { type: "string" };
}

function failure(status: number): Json {
  const schema = { $ref: "#/components/schemas/Error" };
  return { description: FAILURES[status] ?? "Failed", content: { "application/json": { schema } } };
}

/** OpenAPI 3.1 takes JSON Schema 2020-12 as it is. */
function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    unrepresentable: "any",
    target: "draft-2020-12",
  });
  return rest;
}
