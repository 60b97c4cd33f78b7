/**
 * What handlers take and give: events and results of an API Gateway HTTP API (payload 2.0), and bodies as streams.
 *
 * API Gateway hands over a body whole, in base64. The local server (sender/api-server.ts) would only waste memory so: it puts
 * the body on the event as a stream, and takes one back on a result, both under symbols that no JSON can carry.
 */

import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from "aws-lambda";

import { DomainError } from "#shared/domain/errors.ts";

import { HttpError } from "./http-error.ts";

export const requestStream: unique symbol = Symbol("request stream");
export const responseStream: unique symbol = Symbol("response stream");

/** Id of the API key that a request was let through with. */
export const callerKey: unique symbol = Symbol("caller key");

export interface ApiEvent extends APIGatewayProxyEventV2 {
  /** The body instead of `body`. */
  [requestStream]?: AsyncIterable<Buffer>;
  /** Null: none was needed. Set by the auth middleware. */
  [callerKey]?: string | null;
}

export interface ApiResult extends APIGatewayProxyStructuredResultV2 {
  statusCode: number;
  headers: Record<string, string>;
  /** The body instead of `body`. */
  [responseStream]?: AsyncIterable<Buffer>;
}

export type ApiHandler = (event: ApiEvent, context: Context) => Promise<ApiResult>;

/** A Lambda's event and its answer have 6 MB each, bodies in base64 among the rest. */
export const MAX_LAMBDA_BODY = 4_500_000;

const FORM_TYPE = "application/x-www-form-urlencoded";

export function jsonResult(statusCode: number, value: unknown): ApiResult {
  return {
    statusCode,
    headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" },
    body: JSON.stringify(value),
  };
}

export function textResult(contentType: string, body: string): ApiResult {
  return { statusCode: 200, headers: { "content-type": contentType, "cache-control": "no-store" }, body };
}

export function streamResult(contentType: string, bytes: number, chunks: AsyncIterable<Buffer>): ApiResult {
  return {
    statusCode: 200,
    headers: { "content-type": contentType, "content-length": String(bytes), "cache-control": "no-store" },
    [responseStream]: chunks,
  };
}

/** To another server, for this request alone (RFC 9110 §15.4.8). */
export function redirectResult(url: string): ApiResult {
  return { statusCode: 307, headers: { location: url, "cache-control": "no-store" }, body: "" };
}

/** The request's body. Throws too-large past `maxBytes`, with the words of `advice` on what to do instead. */
export async function* bodyOf(event: ApiEvent, maxBytes: number, advice = ""): AsyncIterable<Buffer> {
  let bytes = 0;
  for await (const chunk of event[requestStream] ?? wholeBody(event)) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge(maxBytes, advice);
    yield chunk;
  }
}

/** Where mail can be uploaded. */
export function uploadAdvice(maxBytes: number): string {
  return `; for mail of up to ${maxBytes} bytes, POST /uploads gives a URL to PUT it to, and POST /send-raw?upload=<id> sends it`;
}

export function tooLarge(maxBytes: number, advice = ""): DomainError {
  const text = `the request is larger than ${maxBytes} bytes, which is all that is taken here`;
  return new DomainError("too-large", text + advice);
}

/** The request's body as JSON. Throws invalid-body for what is none. */
export async function readJson(event: ApiEvent, maxBytes: number, advice = ""): Promise<unknown> {
  return jsonOf(await wholeOf(event, maxBytes, advice));
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(utf8Of(body));
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : "it is not UTF-8";
    throw new DomainError("invalid-body", `the body is not JSON: ${why}`);
  }
}

/**
 * Fields of a request: those of its query, and over them those of its body, which is JSON or a form, as ZoneMTA takes them. `default`
 * is what a body without a content type is. Throws invalid-body for a body that is neither.
 */
export async function readFields(
  event: ApiEvent,
  { maxBytes, default: untyped }: { maxBytes: number; default: "json" | "form" },
): Promise<unknown> {
  const query = queryOf(event);
  const body = await wholeOf(event, maxBytes, "");
  if (body.length === 0) return query;
  const type = contentTypeOf(event) ?? (untyped === "form" ? FORM_TYPE : "");
  const fields = type === FORM_TYPE ? fieldsOf(textOf(body)) : jsonOf(body);
  const isRecord = typeof fields === "object" && fields !== null && !Array.isArray(fields);
  return isRecord ? { ...query, ...fields } : fields;
}

/** The request's body as text. Throws invalid-body for what is not UTF-8. */
export async function readText(event: ApiEvent, maxBytes: number): Promise<string> {
  return textOf(await wholeOf(event, maxBytes, ""));
}

function textOf(body: Buffer): string {
  try {
    return utf8Of(body);
  } catch {
    throw new DomainError("invalid-body", "the body is not UTF-8");
  }
}

async function wholeOf(event: ApiEvent, maxBytes: number, advice: string): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(bodyOf(event, maxBytes, advice)));
}

function utf8Of(bytes: Buffer): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

/** Throws 415 for a content type that is not among `accepted`; none given counts as the first. */
export function checkContentType(event: ApiEvent, accepted: readonly string[]): void {
  const given = contentTypeOf(event);
  if (given === null || accepted.includes(given)) return;
  throw new HttpError(
    415,
    "unsupported-media-type",
    `the content type ${JSON.stringify(given.slice(0, 80))} is not taken here; send Content-Type: ${accepted.join(" or ")}`,
  );
}

/** Throws 415 for a body that was compressed on its way: taken as it is, it would be mail that nobody can read. */
export function refuseEncoded({ headers }: ApiEvent): void {
  const coding = headers["content-encoding"]?.trim().toLowerCase() ?? "";
  if (coding === "" || coding === "identity") return;
  const text = `the content encoding ${JSON.stringify(coding.slice(0, 80))} is not taken here; send the body as it is`;
  throw new HttpError(415, "unsupported-media-type", text, { "accept-encoding": "identity" });
}

/** Null: none is given. */
function contentTypeOf({ headers }: ApiEvent): string | null {
  return headers["content-type"]?.split(";")[0]?.trim().toLowerCase() || null;
}

export function queryOf(event: ApiEvent): Record<string, string | string[]> {
  return fieldsOf(event.rawQueryString);
}

/** Of a query or a form: each name with its value, or with all of them when it is there more than once. */
function fieldsOf(text: string): Record<string, string | string[]> {
  const given = new URLSearchParams(text);
  const names = [...new Set(given.keys())];
  return Object.fromEntries(
    names.map((name) => {
      const values = given.getAll(name);
      return [name, values.length === 1 ? (values[0] as string) : values];
    }),
  );
}

/** For a Lambda, which can only answer whole: the stream becomes a body in base64. */
export async function wholeResult(result: ApiResult): Promise<ApiResult> {
  const stream = result[responseStream];
  if (!stream) return result;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > MAX_LAMBDA_BODY)
      throw new HttpError(413, "too-large", "this is too large to be answered here");
    chunks.push(chunk);
  }
  const { statusCode, headers } = result;
  return { statusCode, headers, body: Buffer.concat(chunks).toString("base64"), isBase64Encoded: true };
}

/** What API Gateway puts in the place of bytes that are no UTF-8, when it hands a body over as text. */
const LOST_BYTE = "\ufffd";

async function* wholeBody(event: ApiEvent): AsyncIterable<Buffer> {
  if (isDamagedMail(event)) {
    const text = "the mail lost what is no UTF-8 on its way, for it came as text/plain";
    throw new DomainError("invalid-body", `${text}; send it with Content-Type: message/rfc822`);
  }
  if (event.body) yield Buffer.from(event.body, event.isBase64Encoded ? "base64" : "utf8");
}

/** Mail may be of any bytes. In JSON such a character is the client's own. */
function isDamagedMail({ body, headers, isBase64Encoded }: ApiEvent): boolean {
  if (!body || isBase64Encoded || headers["content-type"]?.startsWith("text/plain") !== true) return false;
  return body.includes(LOST_BYTE);
}
