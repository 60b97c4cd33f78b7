/**
 * A mail that is shown to a scanner while it passes: each chunk goes to the scanner as well as on its way, and the verdict is asked for
 * when the mail is stored. What a scanner does, or does not, never breaks the mail's own stream: its failure is the verdict.
 *
 * 1. Memory is flat: a chunk waits until the scanner has room for it.
 * 2. Every wait ends: a scanner that takes nothing, or says nothing after the end, has failed after `timeoutMs`.
 */

import { pipeline } from "node:stream/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Writable } from "node:stream";

import type { PluginApp } from "../plugins/app.ts";
import { roomIn } from "../plugins/room-in.ts";
import type { EnvelopeView } from "../plugins/views.ts";

export interface Scan<V> {
  /** Rejects when there is none. */
  readonly verdict: Promise<V>;
  /** Resolves when there is room for more, or no need for it. Never rejects. */
  write(chunk: Buffer): Promise<void>;
  end(): void;
  /** The mail has come to nothing. */
  abort(): void;
}

export interface ScannerLink<V> {
  /** What leads to the scanner; destroyed when there is a verdict. */
  readonly sink: Writable;
  readonly verdict: Promise<V>;
  /** Hand over a chunk. False: there is no room for more before the sink has drained. */
  readonly send: (chunk: Buffer) => boolean;
  readonly finish: () => void;
  readonly timeoutMs: number;
}

export function openScan<V>({ sink, verdict: said, send, finish, timeoutMs }: ScannerLink<V>): Scan<V> {
  const failure = Promise.withResolvers<never>();
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const fail = (error: Error): void => failure.reject(error);
  const startWaiting = (): void => {
    timer = setTimeout(() => fail(new Error(`nothing has come from it in ${timeoutMs} ms`)), timeoutMs);
  };
  const verdict = Promise.race([said, failure.promise]).finally(() => {
    isOver = true;
    clearTimeout(timer);
    sink.destroy();
  });
  verdict.catch(() => undefined); // whoever asks for it hears of it
  // after a verdict that was read just before: a scanner that wants no more says why, and then breaks off
  sink.on("error", (error) => setImmediate(fail, error));

  return {
    verdict,
    async write(chunk) {
      await nextTurn(); // what it has said is read before it is written to: a write that fails ends the reading too
      if (isOver || sink.destroyed || send(chunk)) return;
      startWaiting();
      await roomIn(sink);
      if (!isOver) clearTimeout(timer);
    },
    end() {
      if (isOver || sink.destroyed) return;
      startWaiting();
      finish();
    },
    abort: () => fail(new Error("the mail has ended before its verdict")),
  };
}

/** Shows the mails that `wants` chooses to a scanner; what comes back gives the verdict on one; null: it was not shown. */
export function scanMail<V>(
  app: PluginApp,
  wants: (envelope: EnvelopeView) => boolean,
  open: (envelope: EnvelopeView) => Scan<V>,
): (envelope: EnvelopeView) => Promise<V> | null {
  const scans = new WeakMap<EnvelopeView, Scan<V>>();
  app.addAnalyzerHook(wants, async (envelope, source, destination) => {
    const scan = open(envelope);
    scans.set(envelope, scan);
    let isWhole = false;
    try {
      await pipeline(source, (chunks: AsyncIterable<Buffer>) => shown(chunks, scan), destination);
      isWhole = true;
    } finally {
      if (!isWhole) scan.abort();
    }
  });
  return (envelope) => scans.get(envelope)?.verdict ?? null;
}

async function* shown(chunks: AsyncIterable<Buffer>, scan: Scan<unknown>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    await scan.write(chunk);
    yield chunk;
  }
  scan.end();
}

/** Which mail a scanner is for, as ZoneMTA has it: what comes by these interfaces (`*`: by any), but not from these addresses. */
export function mailOf({
  interfaces,
  ignoreOrigins,
}: {
  readonly interfaces: readonly string[];
  readonly ignoreOrigins: readonly string[];
}): (envelope: EnvelopeView) => boolean {
  return (envelope) =>
    (interfaces.includes("*") || interfaces.includes(envelope.interface)) &&
    (envelope.origin === null || !ignoreOrigins.includes(envelope.origin));
}

/** What a client hears when there is no verdict and `onFailure` is `defer`. */
export const NOT_SCANNED = "451 4.3.0 The message cannot be scanned now, try again later";
