/**
 * A mail on its way in, as plugins see and change it: the hooks `smtp:data` or `api:mail`, those on its body, `message:headers`,
 * `message:store`, `message:queue` and `queue:route`, in that order. submit.ts calls what is here at its steps; where no plugin watches
 * mail there is none of it.
 *
 * 1. What a plugin decides (`RefusedError`, `DroppedError`) and that it has failed (`PluginError`) is thrown out of the step.
 * 2. Our own reports on failed deliveries pass no plugin: one that refused them would refuse them for ever.
 */

import { PassThrough } from "node:stream";

import type { Headers } from "mailsplit";

import type { Address } from "../domain/address.ts";
import { parseAddress } from "../domain/address.ts";
import type { HeaderList } from "../domain/headers.ts";
import { parseHeaders } from "../domain/headers.ts";
import type { MessageId } from "../domain/ids.ts";
import type { IntakeResult } from "../domain/intake.ts";
import { factsOf } from "../domain/intake.ts";
import { newlineFilter } from "../domain/newlines.ts";
import type { EpochMs } from "../domain/units.ts";
import type { Way } from "../domain/way.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { EnvelopeWithHeaders } from "../plugins/hooks.ts";
import type { Plugins } from "../plugins/plugins.ts";
import { RECEIVER_HOOK_MS } from "../plugins/plugins.ts";
import { roomIn } from "../plugins/room-in.ts";
import { PluginError } from "../plugins/verdict.ts";
import type { EnvelopeView, RoutingView, SessionView } from "../plugins/views.ts";
import type { MailNotes } from "./observer.ts";
import { envelopeView, messageInfo, notesIn, submissionFrom } from "./plugin-views.ts";
import type { Submission } from "./submission.ts";
import { readWay } from "./ways.ts";

export interface WatchedMail {
  /** As the plugins have left it so far; its source is past them. */
  readonly submission: Submission;
  /** For intake. */
  readonly onHeaders: (headers: HeaderList) => Promise<HeaderList>;
  /** What is stored, shown to `message:store` as it goes by. */
  stored(chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer>;
  /** After the body is stored. `replaceBlock` puts another header block in place of the one that is stored. */
  queued(taken: IntakeResult, replaceBlock: (block: Buffer) => Promise<void>): Promise<QueuedMail>;
  routed(recipient: Address, zone: ZoneName): Promise<Routed>;
  /** The headers, as far as they have been seen. */
  headers(): HeaderList;
  /** What the plugins have put on `messageInfo` so far. */
  notes(): MailNotes;
}

export interface QueuedMail {
  readonly submission: Submission;
  readonly taken: IntakeResult;
  /** What the plugins want kept with the message; null: nothing. */
  readonly extra: Readonly<Record<string, unknown>> | null;
}

/** `way` null: nothing was said of it. */
export interface Routed {
  readonly recipient: Address;
  readonly zone: ZoneName;
  readonly way: Way | null;
}

/** Rewritten parts may be larger than they came: encoded anew, three octets for one. */
const MAX_GROWTH = 4;

export interface WatchFacts {
  readonly plugins: Plugins;
  readonly id: MessageId;
  readonly now: EpochMs;
  /** True: there is such a zone. */
  readonly isZone: (name: string) => name is ZoneName;
}

/** Runs the hooks that come before the body. */
export async function watchMail(given: Submission, facts: WatchFacts): Promise<WatchedMail> {
  const { plugins } = facts;
  const session = given.session ?? requestSession(given, facts);
  const envelope = envelopeView(given, { ...facts, session });
  await plugins.run(given.origin.protocol === "HTTP" ? "api:mail" : "smtp:data", envelope, session);
  return new Watched({ ...given, ...submissionFrom(envelope, given).changes }, envelope, facts);
}

class Watched implements WatchedMail {
  readonly submission: Submission;
  readonly #envelope: EnvelopeView;
  readonly #facts: WatchFacts;
  readonly #info: ReturnType<typeof messageInfo>;
  readonly #body = new PassThrough();
  #headers: HeaderList = [];

  constructor(submission: Submission, envelope: EnvelopeView, facts: WatchFacts) {
    const { plugins } = facts;
    this.#envelope = envelope;
    this.#facts = facts;
    this.#info = messageInfo(envelope);
    this.submission = plugins.watchesBodies
      ? {
          ...submission,
          source: plugins.mime.pastPlugins(checked(submission), envelope, plugins),
          bareNewlines: "normalise",
          maxBytes: submission.maxBytes * MAX_GROWTH,
        }
      : submission;
  }

  readonly onHeaders = async (headers: HeaderList): Promise<HeaderList> => {
    const { plugins } = this.#facts;
    this.#headers = headers;
    const view = plugins.mime.headersView(headers);
    const envelope = this.#withHeaders(view);
    this.#info["subject"] = view.getFirst("subject").slice(0, MAX_SUBJECT_CHARS);
    await plugins.run("message:headers", envelope, this.#info);
    this.#body.on("error", () => undefined); // of its reader, who is a plugin
    await plugins.run("message:store", envelope, this.#body);
    this.#headers = plugins.mime.headersFrom(view, headers);
    return this.#headers;
  };

  async *stored(chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    let inBlock = true;
    try {
      for await (const chunk of chunks) {
        // nobody has begun to read it: there is no need to fill it
        if (this.#body.readableFlowing !== null) await this.#show(inBlock ? afterBlock(chunk) : chunk);
        inBlock = false;
        yield chunk;
      }
    } finally {
      this.#body.end();
    }
  }

  async queued(taken: IntakeResult, replaceBlock: (block: Buffer) => Promise<void>): Promise<QueuedMail> {
    const { plugins } = this.#facts;
    const stored = parseHeaders(taken.block);
    const view = plugins.mime.headersView(stored);
    const envelope = this.#withHeaders(view);
    envelope.messageId = taken.messageIdHeader;
    envelope.date = taken.date === null ? null : new Date(taken.date);
    this.#info["message-id"] = taken.messageIdHeader;
    this.#info["body"] = taken.body.bytes - taken.body.headerBytes;
    await plugins.run("message:queue", envelope, this.#info);
    const { changes, extra } = submissionFrom(this.#envelope, this.submission);
    const after = plugins.mime.headersFrom(view, stored);
    return {
      submission: { ...this.submission, ...changes },
      taken: after === stored ? taken : await withHeaders(after, taken, replaceBlock),
      extra,
    };
  }

  async routed(recipient: Address, zone: ZoneName): Promise<Routed> {
    const { plugins, isZone } = this.#facts;
    if (!plugins.has("queue:route")) return { recipient, zone, way: null };
    const routing: RoutingView = { recipient, deliveryZone: zone, mxData: null };
    await plugins.run("queue:route", this.#envelope, routing);
    const to = parseAddress(routing.recipient);
    if (to === null)
      throw new PluginError("queue:route", `${JSON.stringify(routing.recipient)} is no address`);
    const asked = routing.deliveryZone.trim().toLowerCase();
    if (!isZone(asked))
      plugins.log.warn({ component: "plugin", zone: asked }, "queue:route names a zone that is none");
    return { recipient: to, zone: isZone(asked) ? asked : zone, way: readWay(routing.mxData ?? {}) };
  }

  headers(): HeaderList {
    return this.#headers;
  }

  notes(): MailNotes {
    return notesIn(this.#info);
  }

  #withHeaders(view: Headers): EnvelopeWithHeaders {
    const { mime } = this.#facts.plugins;
    return Object.assign(this.#envelope, { headers: view, parsedEnvelope: mime.parsedEnvelope(view) });
  }

  async #show(chunk: Buffer): Promise<void> {
    if (this.#body.destroyed || this.#body.write(chunk)) return;
    const { clock } = this.#facts.plugins;
    const over = new AbortController();
    const room = roomIn(this.#body).then(() => true);
    const late = clock.sleep(RECEIVER_HOOK_MS, over.signal).then(() => false);
    const inTime = await Promise.race([room, late]);
    over.abort();
    if (!inTime)
      throw new PluginError("message:store", `the body has not been read in ${RECEIVER_HOOK_MS} ms`);
  }
}

const MAX_SUBJECT_CHARS = 128;

/** What the client sent has to be right before plugins read it: they may take a lonely LF for the end of a line. */
async function* checked({ source, bareNewlines }: Submission): AsyncIterable<Buffer> {
  const newlines = newlineFilter(bareNewlines);
  for await (const chunk of source) {
    const bytes = newlines.push(chunk);
    if (bytes.length > 0) yield bytes;
  }
  const end = newlines.end();
  if (end.length > 0) yield end;
}

/** The first chunk holds the whole header block. */
function afterBlock(chunk: Buffer): Buffer {
  if (chunk.subarray(0, 2).toString("latin1") === "\r\n") return chunk.subarray(2);
  return chunk.subarray(chunk.indexOf("\r\n\r\n") + 4);
}

async function withHeaders(
  headers: HeaderList,
  taken: IntakeResult,
  replaceBlock: (block: Buffer) => Promise<void>,
): Promise<IntakeResult> {
  const block = Buffer.from(`${headers.map(({ line }) => line).join("")}\r\n`, "latin1");
  await replaceBlock(block);
  const facts = factsOf(headers, block);
  const bytes = taken.body.bytes - taken.body.headerBytes + block.length;
  return {
    ...taken,
    ...facts,
    headers: taken.headers, // by these the mail is routed
    messageIdHeader: facts.messageIdHeader || taken.messageIdHeader,
    body: { ...taken.body, bytes, headerBytes: block.length },
  };
}

/** Mail that comes by HTTP has no session; plugins get one all the same. */
function requestSession({ origin }: Submission, { id }: WatchFacts): SessionView {
  return {
    id,
    interface: origin.interface,
    remoteAddress: origin.ip,
    clientHostname: origin.host,
    hostNameAppearsAs: origin.helo,
    transmissionType: origin.protocol,
    user: origin.user,
    secure: origin.tls !== null,
    envelopeId: id,
    envelope: { mailFrom: null, rcptTo: [] },
  };
}
