/** A whole relay with plugins of one test, and a mail host behind it. */

import assert from "node:assert/strict";

import type { MessageId } from "#shared/domain/ids.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { fakeDns, oneExample } from "./fake-dns.ts";
import { startFakeMx } from "./fake-mx.ts";
import type { FakeMx, FakeMxOptions } from "./fake-mx.ts";
import { patient } from "./patience.ts";
import { pluginFiles } from "./plugin-files.ts";
import { startRelay } from "./relay.ts";
import type { Relay, RelayOptions } from "./relay.ts";

export interface PluginRelay extends AsyncDisposable {
  readonly relay: Relay;
  readonly mx: FakeMx;
}

export interface PluginRelayOptions {
  /** Beside what makes the plugin run. */
  readonly config?: ConfigInput;
  /** Of the plugin, beside `enabled` and `port`, which is that of the mail host. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly mx?: FakeMxOptions;
  readonly backend?: RelayOptions["backend"];
}

/** Of the `switch` in a hook that ends as a word in the mail says: the ends that are no verdict on it. */
export const USUAL_ENDS = `
      case "throws": throw new TypeError("oops");
      case "next-error": return next(new Error("oops"));
      case "hangs": return;
      case "twice": next(); return next(new Error("too late"));
      default: return next();`;

const TRIED_TIMEOUT_MS = patient(20_000);
const POLL_MS = 10;

/** The plugin `it` has this source. Mail for `one.example` goes to the mail host. */
export async function relayWith(source: string, options: PluginRelayOptions = {}): Promise<PluginRelay> {
  const stack = new AsyncDisposableStack();
  const files = stack.use(await pluginFiles({ "it.js": source }));
  const mx = stack.use(await startFakeMx(options.mx));
  const relay = stack.use(
    await startRelay({
      dns: fakeDns(oneExample()),
      ...(options.backend && { backend: options.backend }),
      config: {
        zones: { default: { port: mx.port } },
        pluginsPath: files.folder,
        plugins: { it: { enabled: true, port: mx.port, ...options.options } },
        ...options.config,
      },
    }),
  );
  return { relay, mx, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** By HTTP. */
export async function send(relay: Relay, fields: object = {}): Promise<MessageId> {
  const mail = { from: "me@sender.example", to: "you@one.example", subject: "Hello", text: "It works.\n" };
  const response = await fetch(`${relay.httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...mail, ...fields }),
  });
  assert.equal(response.status, 200);
  return ((await response.json()) as { id: MessageId }).id;
}

/** Resolves when each of its rows has been tried or has come to its end. */
export async function untilTried(relay: Relay, id: MessageId): ReturnType<Relay["message"]> {
  const deadline = Date.now() + TRIED_TIMEOUT_MS;
  for (;;) {
    const stored = await relay.message(id);
    if (stored.rows.every(({ attempts, finishedAt }) => attempts > 0 || finishedAt !== null)) return stored;
    if (Date.now() > deadline) throw new Error(`not tried: ${JSON.stringify(stored.rows, null, 1)}`);
    await systemClock.sleep(POLL_MS);
  }
}
