/**
 * The one table of HTTP routes: the local server, API Gateway, the OpenAPI document and the CLI's client are made from it, so
 * they cannot differ. What a route does is in its use case; how it is answered is in lambdas/.
 *
 * A path may end in one optional parameter (`/counter/zone/{zone?}`); a trailing slash means the same as none.
 */

import type * as z from "zod";

import * as dkim from "./dkim-schemas.ts";
import { MailFields } from "./message-fields.ts";
import * as message from "./message-schemas.ts";
import * as schemas from "./route-schemas.ts";
import * as suppression from "./suppression-schemas.ts";
import * as tryout from "./tryout-schemas.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";
/** What a key must be allowed: `admin` may all; `none` needs no key, and `login` the login of an account in its place, which the route checks. */
export type Scope = "send" | "read" | "admin" | "none" | "login";

export interface Route<
  P extends z.ZodType = z.ZodType,
  Q extends z.ZodType = z.ZodType,
  H extends z.ZodType = z.ZodType,
> {
  readonly method: Method;
  readonly path: `/${string}`;
  readonly scope: Scope;
  /** Name of the use case in shared/app; `none`: nothing is done. */
  readonly useCase: string;
  readonly summary: string;
  readonly params: P;
  readonly query: Q;
  /** Request headers that the route reads, besides those of HTTP. */
  readonly headers: H;
  /** Null: the route reads no body. */
  readonly body: RouteBody | null;
  readonly answer: Answer;
  /** Statuses of failure besides 400, 401, 403, 500. */
  readonly failures: readonly number[];
}

export interface RouteBody {
  /** The first is the one to use; a request without Content-Type is taken as that. */
  readonly contentTypes: readonly string[];
  /** Null: bytes. */
  readonly schema: z.ZodType | null;
  /** True: there are requests without one. */
  readonly optional?: true;
}

export interface Answer {
  /** Left out: 200. */
  readonly status?: number;
  readonly contentType: string;
  /** Null: not JSON. */
  readonly schema: z.ZodType | null;
  /** True: it may have to be got at another URL (307). */
  readonly elsewhere?: true;
}

const JSON_TYPE = "application/json";
const FORM_TYPE = "application/x-www-form-urlencoded";

function route<P extends z.ZodType, Q extends z.ZodType, H extends z.ZodType>(
  method: Method,
  path: Route["path"],
  rest: Pick<Route, "scope" | "useCase" | "summary"> & {
    params?: P;
    query?: Q;
    headers?: H;
    body?: RouteBody;
    answer: z.ZodType | Answer;
    failures?: readonly number[];
  },
): Route<P, Q, H> {
  const { scope, useCase, summary, answer } = rest;
  return {
    method,
    path,
    scope,
    useCase,
    summary,
    params: rest.params ?? (schemas.NoFields as unknown as P),
    query: rest.query ?? (schemas.NoFields as unknown as Q),
    headers: rest.headers ?? (schemas.AnyHeaders as unknown as H),
    body: rest.body ?? null,
    answer: "contentType" in answer ? answer : { contentType: JSON_TYPE, schema: answer },
    failures: rest.failures ?? [],
  };
}

function json(schema: z.ZodType): RouteBody {
  return { contentTypes: [JSON_TYPE], schema };
}

/** Fields of a form or of JSON; those of the query are taken too. */
function fields(schema: z.ZodType): RouteBody {
  return { contentTypes: [JSON_TYPE, FORM_TYPE], schema, optional: true };
}

/** The last two of `/message/…` change rows. */
export const routes = {
  send: route("POST", "/send", {
    scope: "send",
    useCase: "sendFields",
    summary: "Send a mail given by Nodemailer's message fields; 200 means stored for good and to be tried",
    headers: schemas.SendHeaders,
    body: json(MailFields),
    answer: schemas.SendAnswer,
    failures: [404, 409, 413, 415, 422, 503],
  }),
  sendRaw: route("POST", "/send-raw", {
    scope: "send",
    useCase: "sendRaw",
    summary:
      "Send a mail given whole (RFC 5322), here or as an upload; recipients from its headers unless named in the query",
    query: schemas.SendRawQuery,
    headers: schemas.SendHeaders,
    body: {
      contentTypes: ["message/rfc822", "text/plain", "application/octet-stream"],
      schema: null,
      optional: true, // an upload is sent without
    },
    answer: schemas.SendAnswer,
    failures: [404, 409, 413, 415, 422, 503],
  }),
  uploads: route("POST", "/uploads", {
    scope: "send",
    useCase: "uploads",
    summary: "Get a URL to put a mail to that is too large for one request; 404 where all mail fits into one",
    answer: schemas.UploadAnswer,
    failures: [404],
  }),
  counter: route("GET", "/counter/zone/{zone?}", {
    scope: "read",
    useCase: "countRows",
    summary: "Count the recipients in the queue by zone",
    params: schemas.ZoneParams,
    answer: schemas.CounterAnswer,
  }),
  queued: route("GET", "/queued/{type}/{zone?}", {
    scope: "read",
    useCase: "listQueued",
    summary: "List the recipients in the queue, a page at a time",
    params: schemas.QueuedParams,
    query: schemas.QueuedQuery,
    answer: schemas.QueuedAnswer,
  }),
  queue: route("GET", "/queue", {
    scope: "read",
    useCase: "listMatching",
    summary: "List the waiting recipients that match, a page at a time",
    query: schemas.QueueQuery,
    answer: schemas.QueueAnswer,
  }),
  operate: route("POST", "/queue/{operation}", {
    scope: "admin",
    useCase: "operateMatching",
    summary:
      "Change all waiting recipients that match, or count them; a call looks at some thousand: go on with its cursor",
    params: schemas.OperationParams,
    body: json(schemas.BulkBody),
    answer: schemas.BulkAnswer,
    failures: [413, 415],
  }),
  message: route("GET", "/message/{id}/{seq?}", {
    scope: "read",
    useCase: "viewMessage",
    summary: "See a message and what became of each recipient; finished mail too, while its history is kept",
    params: schemas.MessageParams,
    answer: message.MessageAnswer,
    failures: [404],
  }),
  sendNow: route("PUT", "/message/{id}/{seq?}", {
    scope: "admin",
    useCase: "operateRows",
    summary: "Make waiting recipients due at once, hold them, or release held ones",
    params: schemas.MessageParams,
    query: schemas.SendNowQuery,
    answer: schemas.ChangedAnswer,
    failures: [404, 409],
  }),
  drop: route("DELETE", "/message/{id}/{seq?}", {
    scope: "admin",
    useCase: "operateRows",
    summary: "Drop waiting recipients: nothing is sent to them and nobody is told",
    params: schemas.MessageParams,
    answer: schemas.ChangedAnswer,
    failures: [404, 409],
  }),
  fetch: route("GET", "/fetch/{id}", {
    scope: "read",
    useCase: "fetchBody",
    summary:
      "Get the stored message, without what is added when it is sent (Received, DKIM-Signature); a large one may be answered by a redirect",
    params: schemas.FetchParams,
    query: schemas.FetchQuery,
    answer: { contentType: "message/rfc822", schema: null, elsewhere: true },
    failures: [404, 410, 413],
  }),
  suppressions: route("GET", "/suppressionlist", {
    scope: "read",
    useCase: "listSuppressions",
    summary: "List the addresses and domains that nothing is sent to",
    query: schemas.PageQuery,
    answer: suppression.SuppressionListAnswer,
  }),
  suppress: route("POST", "/suppressionlist", {
    scope: "admin",
    useCase: "suppress",
    summary: "Send nothing to an address or a domain from now on",
    query: suppression.SuppressBody,
    body: fields(suppression.SuppressBody),
    answer: suppression.SuppressedAnswer,
    failures: [413, 415],
  }),
  unsuppress: route("DELETE", "/suppressionlist", {
    scope: "admin",
    useCase: "unsuppress",
    summary: "Take an entry off the suppression list",
    query: suppression.UnsuppressBody,
    body: fields(suppression.UnsuppressBody),
    answer: suppression.UnsuppressedAnswer,
    failures: [404, 413, 415],
  }),
  exportSuppressions: route("GET", "/suppressionlist/export", {
    scope: "read",
    useCase: "exportSuppressions",
    summary:
      "Get the suppression list as NDJSON or CSV, a page at a time: the header Link has the next page (RFC 8288)",
    query: suppression.ExportQuery,
    answer: { contentType: "application/x-ndjson", schema: null },
  }),
  importSuppressions: route("POST", "/suppressionlist/import", {
    scope: "admin",
    useCase: "importSuppressions",
    summary: "Add up to 1000 entries, each as for POST /suppressionlist; what is there already stays",
    query: suppression.ImportQuery,
    body: { contentTypes: ["application/x-ndjson", "text/csv"], schema: null },
    answer: suppression.ImportAnswer,
    failures: [413, 415],
  }),
  unblock: route("DELETE", "/blacklist", {
    scope: "admin",
    useCase: "unblock",
    summary: "Let addresses of ours be used again for sites that refused them; without a query all of them",
    query: schemas.UnblockQuery,
    answer: schemas.UnblockedAnswer,
  }),
  skipDomains: route("GET", "/skipdomains/{zone?}", {
    scope: "read",
    useCase: "listSkipped",
    summary: "List the domains whose connections are all in use, so that no more mail is taken for them now",
    params: schemas.ZoneParams,
    answer: schemas.SkipDomainsAnswer,
  }),
  internals: route("GET", "/internals", {
    scope: "read",
    useCase: "internals",
    summary: "See the workers, the queue and the blocks as they are now, for people",
    answer: { contentType: "text/plain", schema: null },
  }),
  clearCounters: route("GET", "/internals/clear-counters", {
    scope: "admin",
    useCase: "clearCounters",
    summary: "Taken for old clients: nothing is counted that could be cleared",
    answer: { contentType: "text/plain", schema: null },
  }),
  blacklist: route("GET", "/blacklist", {
    scope: "read",
    useCase: "listBlocked",
    summary: "List our addresses that a site refuses mail from now",
    answer: schemas.BlacklistAnswer,
  }),
  slowed: route("GET", "/slowed", {
    scope: "read",
    useCase: "listSlowed",
    summary: "List the sites that asked for less mail, and how much slower each zone sends to them now",
    answer: schemas.SlowedAnswer,
  }),
  endSlowing: route("DELETE", "/slowed", {
    scope: "admin",
    useCase: "endSlowing",
    summary: "Send as fast as ever to sites that asked for less mail; without a query to all of them",
    query: schemas.EndSlowingQuery,
    answer: schemas.UnblockedAnswer,
  }),
  dkimKeys: route("GET", "/dkim/{domain?}", {
    scope: "admin",
    useCase: "listDkimKeys",
    summary:
      "List the DKIM keys that were put here, with the record to publish for each, never the key itself",
    params: dkim.DkimDomainParams,
    query: dkim.DkimQuery,
    answer: dkim.DkimKeysAnswer,
  }),
  putDkimKey: route("PUT", "/dkim/{domain}/{selector}", {
    scope: "admin",
    useCase: "putDkimKey",
    summary:
      "Sign mail from a domain with a private key (PEM); without a body one is made, unless there is one already",
    params: dkim.DkimKeyParams,
    query: dkim.PutDkimQuery,
    body: { contentTypes: dkim.PEM_TYPES, schema: null, optional: true },
    answer: dkim.DkimKeyAnswer,
    failures: [409, 413, 415],
  }),
  removeDkimKey: route("DELETE", "/dkim/{domain}/{selector}", {
    scope: "admin",
    useCase: "removeDkimKey",
    summary: "Sign no more mail with a DKIM key, and forget it",
    params: dkim.DkimKeyParams,
    answer: dkim.DkimRemovedAnswer,
    failures: [404],
  }),
  zones: route("GET", "/zones", {
    scope: "read",
    useCase: "listZones",
    summary: "List the sending zones",
    query: schemas.ZonesQuery,
    answer: schemas.ZonesAnswer,
  }),
  events: route("GET", "/events", {
    scope: "read",
    useCase: "listEvents",
    summary: "Read what happened, in order: receptions, deliveries, deferrals, bounces …",
    query: schemas.EventsQuery,
    answer: schemas.EventsAnswer,
    failures: [404],
  }),
  testAuth: route("GET", "/test-auth", {
    scope: "login",
    useCase: "testLogin",
    summary: "Try the login of an SMTP account, as `core/http-auth` asks",
    query: tryout.TestAuthQuery,
    answer: tryout.TestAuthAnswer,
    failures: [429],
  }),
  reportBounce: route("POST", "/report-bounce", {
    scope: "send",
    useCase: "reportBounce",
    summary:
      "Try a reporter of bounces such as `core/http-bounce` out: the newest 100 reports can be seen for a day",
    query: tryout.ReportBounceQuery,
    body: { contentTypes: [FORM_TYPE, JSON_TYPE], schema: tryout.ReportBounceBody, optional: true },
    answer: { contentType: JSON_TYPE, schema: tryout.ReportedAnswer, status: 202 },
    failures: [413, 415],
  }),
  bounces: route("GET", "/bounces", {
    scope: "read",
    useCase: "listReportedBounces",
    summary:
      "See what was reported to `POST /report-bounce`; what bounced here is in the history of the queue",
    answer: tryout.BouncesAnswer,
  }),
  store: route("PUT", "/store/{id?}", {
    scope: "send",
    useCase: "none",
    summary: "Refused, and says so to old clients: mail is handed in whole (`POST /send-raw`)",
    params: tryout.StoreParams,
    answer: { contentType: JSON_TYPE, schema: schemas.ErrorAnswer, status: 501 },
  }),
  metrics: route("GET", "/metrics", {
    scope: "read",
    useCase: "metrics",
    summary: "Metrics in Prometheus' text format",
    answer: { contentType: "text/plain", schema: null },
  }),
  healthz: route("GET", "/healthz", {
    scope: "none",
    useCase: "checkHealth",
    summary: "Tell whether mail can be taken now",
    answer: schemas.HealthAnswer,
    failures: [503],
  }),
  openapi: route("GET", "/openapi.json", {
    scope: "none",
    useCase: "openApiDocument",
    summary: "This API as an OpenAPI 3.1 document",
    answer: { contentType: JSON_TYPE, schema: null },
  }),
} as const;

export type RouteName = keyof typeof routes;
export const ROUTE_NAMES = Object.keys(routes) as RouteName[];

/** The paths of a route without the optional parameter and with it, as API Gateway and OpenAPI know them. */
export function pathsOf(route: Route): string[] {
  const match = /^(.*)\/\{(\w+)\?\}$/.exec(route.path);
  return match ? [match[1] as string, `${match[1]}/{${match[2]}}`] : [route.path];
}
