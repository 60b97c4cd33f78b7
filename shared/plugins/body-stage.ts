/**
 * Bodies on their way in, past the plugins that look at them: analyzers get the bytes, rewriters and streamers the decoded MIME parts.
 * What comes out is what is stored, sized and signed.
 *
 * 1. Memory is flat: each step holds what its neighbours have room for.
 * 2. The splitter is built only where a rewriter or a streamer is registered.
 * 3. A plugin that throws, breaks its stream or stands still ends the mail with an error of its own; so does the source with its own.
 */

import { PassThrough } from "node:stream";
import type { Duplex, Readable, Transform, Writable } from "node:stream";

import { Joiner, Rewriter, Splitter, Streamer } from "mailsplit";
import type { RewriterNode, StreamerNode } from "mailsplit";

import { MIB } from "../domain/units.ts";
import type { AnalyzerHandler, RewriteHandler, StreamHandler } from "./hooks.ts";
import type { Filtered, Plugins, Registered } from "./plugins.ts";
import { RECEIVER_HOOK_MS } from "./plugins.ts";
import { roomIn } from "./room-in.ts";
import { PluginError, verdictOf } from "./verdict.ts";
import type { EnvelopeView } from "./views.ts";

/** Of one MIME part; more than we take of a whole message's. */
const MAX_NODE_HEADER_BYTES = 2 * MIB;
/** Parts of one message; a mail with more is an attack on who reads it. */
const MAX_NODES = 1_000;

/** The bytes that come out are to be read to their end, or given up by `return`. */
export async function* pastPlugins(
  source: AsyncIterable<Buffer>,
  envelope: EnvelopeView,
  plugins: Plugins,
): AsyncGenerator<Buffer, void, undefined> {
  const stage = new BodyStage(envelope, plugins);
  const fed = stage.feed(source);
  try {
    yield* stage.read();
    await fed;
  } finally {
    stage.end();
    await fed.catch(() => undefined); // what it failed by has been thrown by `read`
  }
}

class BodyStage {
  readonly #envelope: EnvelopeView;
  readonly #plugins: Plugins;
  readonly #input = new PassThrough();
  readonly #output: Readable;
  readonly #streams: Duplex[] = [];
  readonly #failure = Promise.withResolvers<never>();
  #failed = false;
  /** True: the source has to give the next bytes, and no plugin is waited for. */
  #sourceIsDue = true;
  /** Rises with each chunk that goes in. */
  #taken = 0;

  constructor(envelope: EnvelopeView, plugins: Plugins) {
    this.#envelope = envelope;
    this.#plugins = plugins;
    this.#failure.promise.catch(() => undefined); // whoever reads hears of it
    this.#watch(this.#input, null);
    const { analyzers, rewriters, streamers } = plugins.registry;
    let last: Readable = this.#input;
    for (const analyzer of analyzers) last = this.#analyze(last, analyzer);
    this.#output = rewriters.length + streamers.length > 0 ? this.#split(last) : last;
  }

  /** Rejects with what the source throws. */
  async feed(source: AsyncIterable<Buffer>): Promise<void> {
    try {
      for await (const chunk of source) {
        if (this.#failed) return;
        this.#sourceIsDue = false;
        this.#taken++;
        if (!this.#input.write(chunk)) await roomIn(this.#input);
        this.#sourceIsDue = true;
      }
      this.#sourceIsDue = false;
      this.#input.end();
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  async *read(): AsyncGenerator<Buffer, void, undefined> {
    const iterator = this.#output[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      const coming = iterator.next();
      // without the chunk: all that is raced against a failure is held for as long as that may come
      const come = coming.then(() => undefined);
      await this.#inTime(Promise.race([come, this.#failure.promise]));
      const next = await coming;
      if (next.done === true) return;
      yield next.value;
    }
  }

  end(): void {
    this.#failed = true;
    for (const stream of this.#streams) stream.destroy();
  }

  /** Plugins that have all that they wait for have to give something from time to time. */
  async #inTime<T>(next: Promise<T>): Promise<T> {
    const { clock } = this.#plugins;
    const come = new AbortController();
    const late = async (): Promise<never> => {
      for (;;) {
        const before = this.#taken;
        await clock.sleep(this.#patienceMs(), come.signal);
        if (come.signal.aborted) return this.#failure.promise;
        if (!this.#sourceIsDue && this.#taken === before) break;
      }
      throw new PluginError(
        this.#names(),
        `the mail has not come past its body hooks in ${this.#patienceMs()} ms`,
      );
    };
    try {
      return await Promise.race([next, late()]);
    } finally {
      come.abort("come"); // with a reason, or Node would make an error for each chunk
    }
  }

  #all(): Registered<unknown>[] {
    const { analyzers, rewriters, streamers } = this.#plugins.registry;
    return [...analyzers, ...rewriters, ...streamers];
  }

  #patienceMs(): number {
    return Math.max(...this.#all().map(({ plugin }) => plugin.hookTimeoutMs ?? RECEIVER_HOOK_MS));
  }

  #names(): string {
    return [...new Set(this.#all().map(({ plugin }) => plugin.key))].join(", ");
  }

  #analyze(source: Readable, { plugin, handler }: Registered<AnalyzerHandler>): Readable {
    const destination = new PassThrough();
    this.#watch(destination, plugin.key);
    this.#call(plugin.key, () => handler(this.#envelope, source, destination));
    return destination;
  }

  #split(source: Readable): Readable {
    const { rewriters, streamers } = this.#plugins.registry;
    const splitter = new Splitter({
      ignoreEmbedded: true,
      maxHeadSize: MAX_NODE_HEADER_BYTES,
      maxChildNodes: MAX_NODES,
    });
    const steps = [
      splitter,
      ...rewriters.map((one) => this.#rewriter(one)),
      ...streamers.map((one) => this.#streamer(one)),
      new Joiner(),
    ];
    let last: Readable = source;
    for (const step of steps) {
      this.#watch(step as unknown as Duplex, null);
      last = last.pipe(step as unknown as Transform);
    }
    return last;
  }

  #rewriter({ plugin, filter, handler }: Filtered<RewriteHandler>): Rewriter {
    const rewriter = new Rewriter((node) => this.#chosen(plugin.key, () => filter(this.#envelope, node)));
    rewriter.on("node", ({ node, decoder, encoder }: RewriterNode) => {
      this.#watch(decoder, plugin.key);
      this.#watch(encoder, plugin.key);
      const content = decoder as unknown as Readable;
      const destination = encoder as unknown as Writable;
      this.#call(plugin.key, () => handler(this.#envelope, node, content, destination));
    });
    return rewriter;
  }

  #streamer({ plugin, filter, handler }: Filtered<StreamHandler>): Streamer {
    const streamer = new Streamer((node) => this.#chosen(plugin.key, () => filter(this.#envelope, node)));
    streamer.on("node", ({ node, decoder, done }: StreamerNode) => {
      this.#watch(decoder, plugin.key);
      const content = decoder as unknown as Readable;
      this.#call(plugin.key, () => handler(this.#envelope, node, content, once(done)));
    });
    return streamer;
  }

  #chosen(plugin: string, filter: () => unknown): boolean {
    try {
      return Boolean(filter());
    } catch (error) {
      this.#fail(verdictOf(plugin, error));
      return false;
    }
  }

  #call(plugin: string, handler: () => unknown): void {
    try {
      void Promise.resolve(handler()).catch((error: unknown) => this.#fail(verdictOf(plugin, error)));
    } catch (error) {
      this.#fail(verdictOf(plugin, error));
    }
  }

  /** `plugin` null: what goes wrong in it is the mail's doing, such as a part with endless headers. */
  #watch(stream: Duplex, plugin: string | null): void {
    this.#streams.push(stream);
    stream.on("error", (error) => this.#fail(plugin === null ? error : verdictOf(plugin, error)));
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#failure.reject(error);
    for (const stream of this.#streams) stream.destroy();
  }
}

function once(done: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) done();
    isDone = true;
  };
}
