/**
 * `core/rspamd`: each mail is shown to Rspamd while it comes (`POST /checkv2`), and what that thinks of it is done when it is stored:
 * refused, put off, dropped, or marked in its headers.
 */

import { request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";

import * as z from "zod";

import { KIB } from "../domain/units.ts";
import type { PluginApp } from "../plugins/app.ts";
import type { EnvelopeWithHeaders } from "../plugins/hooks.ts";
import type { EnvelopeView, MessageInfo } from "../plugins/views.ts";
import type { RspamdOptions } from "../runtime/config-scanners.ts";
import { NOT_SCANNED, mailOf, openScan, scanMail } from "./scan.ts";
import type { Scan } from "./scan.ts";

export const title = "Rspamd spam check";

const HeaderToAdd = z.union([z.string(), z.object({ value: z.string(), order: z.number().optional() })]);

/** What we read of a reply of `/checkv2`; there is more in it. */
const ReplySchema = z.object({
  action: z.string(),
  score: z.number().catch(0),
  required_score: z.number().nullish().catch(null),
  is_skipped: z.boolean().optional().catch(false),
  symbols: z.record(z.string(), z.object({ score: z.number().catch(0) })).catch({}),
  messages: z.object({ smtp_message: z.string().optional() }).optional().catch(undefined),
  milter: z
    .object({
      remove_headers: z.record(z.string(), z.number()).optional(),
      add_headers: z.record(z.string(), z.union([HeaderToAdd, z.array(HeaderToAdd)])).optional(),
    })
    .optional()
    .catch(undefined),
});
type RspamdReply = z.output<typeof ReplySchema>;

const SPAM = "550 5.7.1 This message was classified as SPAM and may not be delivered";
const LATER = "4.7.1 Try again later";
const MAX_REPLY_BYTES = 512 * KIB;
/** Of the names of tests that are kept with the mail, the weightiest first. */
const MAX_TESTS = 40;
/** Of a mail to more, Rspamd is told of the first ones. */
const MAX_RECIPIENTS = 100;
/** Headers that Rspamd may add, all together. */
const MAX_ADDED_HEADERS = 50;

/** Null: it was too large to be looked at. */
type Checked = RspamdReply | null;

export async function init(app: PluginApp): Promise<void> {
  const options = app.config as unknown as RspamdOptions;
  const replyOn = scanMail(app, mailOf(options), (envelope) => checkByRspamd(envelope, options));

  app.addHook("message:queue", async (envelope, info) => {
    const asked = replyOn(envelope);
    if (asked === null) return;
    const reply = await asked.catch((error: unknown) => error as Error);
    if (reply instanceof Error) {
      app.logger.error("Rspamd", "%s SPAMCHECK result=failed error=%j", envelope.id, reply.message);
      if (options.onFailure === "accept") return;
      throw app.reject(envelope, "spam check failed", info, NOT_SCANNED);
    }
    if (reply !== null) judge(app, envelope, info, reply);
    else app.remotelog(envelope.id, false, "SPAMCHECK", { result: "skipped", over: options.maxSize });
  });
}

/** Throws what refuses or drops the mail. */
function judge(app: PluginApp, envelope: EnvelopeWithHeaders, info: MessageInfo, reply: RspamdReply): void {
  const options = app.config as unknown as RspamdOptions;
  const { action, score } = reply;
  const tests = testsOf(reply);
  envelope["spam"] = resultOf(reply, tests);
  info["score"] = score.toFixed(2);
  info["tests"] = tests.join(",");
  app.remotelog(envelope.id, false, "SPAMCHECK", { score, result: action, tests });
  if (envelope["ignoreSpamScore"] !== true) decide(app, envelope, info, reply);
  if (options.rewriteSubject && MARKED.has(action)) markSubject(envelope, score);
  if (options.processSpamHeaders) obeyMilter(envelope, reply);
  addSpamHeaders(envelope, reply, tests);
}

const MARKED: ReadonlySet<string> = new Set(["add header", "rewrite subject", "reject"]);

function decide(app: PluginApp, envelope: EnvelopeView, info: MessageInfo, reply: RspamdReply): void {
  const { rejectSpam, dropSpam, greylist } = app.config as unknown as RspamdOptions;
  const { action } = reply;
  if (action === "reject") {
    if (dropSpam) throw app.drop(envelope, "spam", info);
    if (rejectSpam) throw app.reject(envelope, "spam", info, SPAM);
  }
  if (action === "soft reject" || (action === "greylist" && greylist))
    throw app.reject(envelope, action, info, `451 ${laterText(reply)}`);
}

/** Rspamd says why, as `4.7.1 Try again later` or in words alone. */
function laterText({ messages }: RspamdReply): string {
  const text = messages?.smtp_message ?? "";
  if (text === "") return LATER;
  return /^4\.\d{1,3}\.\d{1,3} /.test(text) ? text : `4.7.1 ${text}`;
}

/** As ZoneMTA keeps it with the mail; few bytes, for they are read with each delivery. */
function resultOf({ action, score, required_score: required }: RspamdReply, tests: readonly string[]) {
  return {
    default: { action, score, required_score: required ?? null, is_spam: action === "reject" },
    tests,
  };
}

/** `NAME=score`, without those that weigh nothing. */
function testsOf({ symbols }: RspamdReply): string[] {
  return Object.entries(symbols)
    .filter(([, { score }]) => score !== 0)
    .toSorted(([, one], [, other]) => Math.abs(other.score) - Math.abs(one.score))
    .slice(0, MAX_TESTS)
    .map(([name, { score }]) => `${name}=${Number(score.toFixed(2))}`);
}

function markSubject({ headers }: EnvelopeWithHeaders, score: number): void {
  headers.update("Subject", `[***SPAM(${score.toFixed(2)})***] ${headers.getFirst("subject")}`.trim());
}

/** Headers that Rspamd's own modules put in or take out, such as its DKIM signature. */
function obeyMilter({ headers }: EnvelopeWithHeaders, { milter }: RspamdReply): void {
  for (const name of Object.keys(milter?.remove_headers ?? {})) if (isName(name)) headers.remove(name);
  const added = Object.entries(milter?.add_headers ?? {}).flatMap(([name, given]) =>
    [given].flat().map((one) => ({ name, value: typeof one === "string" ? one : one.value })),
  );
  for (const { name, value } of added.slice(0, MAX_ADDED_HEADERS))
    if (isName(name)) headers.add(name, oneLine(value));
}

function isName(name: string): boolean {
  return /^[!-9;-~]{1,76}$/.test(name); // RFC 5322 §2.2
}

function oneLine(value: string): string {
  return value.replaceAll(/\s*[\r\n]+\s*/g, " ").trim();
}

/** At the bottom of the block: for who looks into a mail, as no receiver has a reason to trust them. */
function addSpamHeaders(
  { headers }: EnvelopeWithHeaders,
  reply: RspamdReply,
  tests: readonly string[],
): void {
  const { action, score, required_score: required } = reply;
  const parts = [
    action === "reject" ? "Yes" : "No",
    `score=${Number(score.toFixed(2))}`,
    ...(required === null || required === undefined ? [] : [`required=${required}`]),
    ...(tests.length > 0 ? [`tests=[${tests.join(", ")}]`] : []),
  ];
  const bottom = Number.POSITIVE_INFINITY;
  headers.add("X-Zone-Spam-Resolution", oneLine(action), bottom);
  headers.add("X-Zone-Spam-Status", oneLine(parts.join(", ")), bottom);
}

function checkByRspamd(envelope: EnvelopeView, options: RspamdOptions): Scan<Checked> {
  const { maxSize, timeout } = options;
  const request = post(envelope, options);
  const said = Promise.withResolvers<Checked>();
  let bytes = 0;
  let isWhole = false;
  request.once("response", (response) => {
    if (isWhole) replyIn(response).then(said.resolve, said.reject);
    else said.reject(new Error(`it says ${response.statusCode} before it has seen the whole mail`));
  });
  return openScan({
    sink: request,
    verdict: said.promise,
    send(chunk) {
      bytes += chunk.length;
      if (bytes <= maxSize) return request.write(chunk);
      said.resolve(null);
      return true;
    },
    finish() {
      isWhole = true;
      request.end();
    },
    timeoutMs: timeout,
  });
}

function post(envelope: EnvelopeView, options: RspamdOptions): ClientRequest {
  const url = new URL(options.url);
  if (/\/check\/?$/.test(url.pathname)) url.pathname = url.pathname.replace(/check\/?$/, "checkv2"); // ZoneMTA's, whose reply is the old one
  if (url.pathname === "/") url.pathname = "/checkv2";
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return send(url, { method: "POST", agent: false, headers: headersOf(envelope, options) });
}

/** What Rspamd is told of the mail besides its bytes (its protocol's request headers). */
function headersOf(
  envelope: EnvelopeView,
  { ip, password }: RspamdOptions,
): Record<string, string | string[]> {
  const { from, to, id, origin, user, transhost, originhost } = envelope;
  const clientIp = typeof ip === "string" ? ip : ip ? origin : null;
  const given: Record<string, string | string[] | null> = {
    "User-Agent": "ZoneFleet",
    From: from,
    Rcpt: to.slice(0, MAX_RECIPIENTS),
    "Deliver-To": to.length === 1 ? (to[0] ?? null) : null,
    "Queue-Id": id,
    IP: clientIp,
    User: user,
    Helo: transhost,
    Hostname: originhost,
    Password: password ?? null,
  };
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, value]) =>
      value === null || value === "" ? [] : [[name, Array.isArray(value) ? value.map(wire) : wire(value)]],
    ),
  );
}

/** UTF-8 in a header of HTTP, and nothing that ends the line. */
function wire(text: string): string {
  return Buffer.from(text.replaceAll(/[\0-\x1f\x7f]/g, " ")).toString("latin1");
}

async function replyIn(response: IncomingMessage): Promise<RspamdReply> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_REPLY_BYTES) throw new Error(`its reply is larger than ${MAX_REPLY_BYTES} bytes`);
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString("utf8");
  if (response.statusCode !== 200) throw new Error(`it says ${response.statusCode}: ${text.slice(0, 200)}`);
  return ReplySchema.parse(JSON.parse(text));
}
