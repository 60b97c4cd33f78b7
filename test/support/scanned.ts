/** One mail that goes past a scanner's plugin, body first and `message:queue` then, as a relay would send it. */

import assert from "node:assert/strict";

import { Headers } from "mailsplit";

import { pastPlugins } from "#shared/plugins/body-stage.ts";
import type { EnvelopeWithHeaders } from "#shared/plugins/hooks.ts";
import type { PluginModule } from "#shared/plugins/load.ts";
import type { EnvelopeView, MessageInfo } from "#shared/plugins/views.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { LogLine } from "./feeder-harness.ts";
import { loaded } from "./plugins.ts";

export interface Scanned {
  readonly envelope: EnvelopeWithHeaders;
  readonly info: Record<string, unknown>;
  /** What came out past the plugin. */
  readonly bytes: Buffer;
  /** What `message:queue` ended with; null: the mail is taken. */
  readonly refusal: unknown;
  readonly lines: readonly LogLine[];
}

export const SCANNED_MAIL = "From: me@sender.example\r\nSubject: Hello\r\n\r\nIt works.\r\n";

/** `options` as the configuration would have them. */
export async function scanned(
  init: PluginModule["init"],
  options: Readonly<Record<string, unknown>>,
  {
    chunks = [Buffer.from(SCANNED_MAIL)],
    fields = {},
  }: { chunks?: Iterable<Buffer> | AsyncIterable<Buffer>; fields?: Partial<EnvelopeView> } = {},
): Promise<Scanned> {
  const { plugins, lines } = await loaded(init, { fields: { options } });
  const headers = new Headers("From: me@sender.example\r\nSubject: Hello\r\n\r\n");
  const envelope = { ...ENVELOPE, headers, ...fields } as EnvelopeWithHeaders;
  const source = (async function* () {
    yield* chunks;
  })();
  const bytes = Buffer.concat(await Array.fromAsync(pastPlugins(source, envelope, plugins)));
  const info: Record<string, unknown> = {};
  Object.defineProperty(info, "format", { value: () => "" });
  const refusal: unknown = await plugins.run("message:queue", envelope, info as MessageInfo).then(
    () => null,
    (error: unknown) => error,
  );
  return { envelope, info, bytes, refusal, lines };
}

const ENVELOPE = {
  id: "m1",
  interface: "feeder",
  from: "me@sender.example",
  to: ["one@one.example", "two@one.example"],
  origin: "192.0.2.7",
  originhost: "client.example",
  transhost: "helo.example",
  user: "müller",
};

export const CHUNK = Buffer.alloc(64 * 1_024, "x");

/** The second half of the mail comes when `go` resolves. */
export async function* inTwoHalves(go: Promise<void>): AsyncGenerator<Buffer> {
  yield CHUNK;
  await go;
  yield CHUNK;
}

export interface FailingScanner {
  /** Of the plugin; `onFailure` is left out. */
  readonly options: (fields?: object) => Record<string, unknown>;
  /** Of the verdict in the envelope, and of its event in the log. */
  readonly verdict: string;
  readonly event: string;
  /** Of the mail that is put off; left out: a small one. */
  readonly chunks?: Iterable<Buffer>;
}

/** Mail is taken whole and without a verdict, or put off when the configuration says so. */
export async function assertOutage(
  init: PluginModule["init"],
  { options, verdict, event, chunks }: FailingScanner,
): Promise<void> {
  const open = await scanned(init, options(), { chunks: [CHUNK, CHUNK] });
  assert.equal(open.refusal, null);
  assert.equal(open.bytes.length, 2 * CHUNK.length);
  assert.equal(open.envelope[verdict], undefined);
  assert.match(JSON.stringify(open.lines), new RegExp(`${event} result=failed`));
  const closed = await scanned(init, options({ onFailure: "defer" }), chunks ? { chunks } : {});
  assert.deepEqual(replyOf(closed.refusal), [
    451,
    "4.3.0 The message cannot be scanned now, try again later",
  ]);
}

/** Options of a core plugin as the configuration hands them to it. */
export function pluginOptions(key: string, given: object): Record<string, unknown> {
  const source = { source: null, baseDir: "/" };
  const { plugins } = parseConfig({ plugins: { [key]: { enabled: true, ...given } } }, source);
  return { ...plugins[0]?.options };
}

/** What a client would hear: code and text of a refusal. */
export function replyOf(refusal: unknown): [number, string] {
  const { reply } = refusal as { reply: { code: number; text: string } };
  return [reply.code, reply.text];
}
