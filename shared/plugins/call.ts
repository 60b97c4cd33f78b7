/** Calls one handler of a plugin in bounded time, whether it tells its end by `next` or by a promise. */

import type { Clock } from "../domain/clock.ts";
import { PluginError } from "./verdict.ts";

export interface CallOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** For errors: which plugin, and what it was called for. */
  readonly plugin: string;
  readonly what: string;
}

/** Without a reason of ours Node would make an error with its stack for each call. */
const DONE = "done";

type Handler = (...args: unknown[]) => unknown;

/**
 * Resolves when the handler is done, rejects with what it threw or gave to `next`, or when its time is over; what it does after that
 * has no effect here.
 */
export async function callHandler(
  handler: Handler,
  args: readonly unknown[],
  { clock, timeoutMs, plugin, what }: CallOptions,
): Promise<void> {
  const over = new AbortController();
  const late = clock.sleep(timeoutMs, over.signal).then(() => {
    if (over.signal.aborted) return;
    const why = takesNext(handler, args) ? "; it names an argument for next, and has not called it" : "";
    throw new PluginError(plugin, `${what} has not come to its end in ${timeoutMs} ms${why}`);
  });
  try {
    await Promise.race([settled(handler, args), late]);
  } finally {
    over.abort(DONE);
  }
}

function takesNext(handler: Handler, args: readonly unknown[]): boolean {
  return handler.length > args.length;
}

/** A handler with a parameter for `next` is done when it calls it; any other when what it returns is. */
function settled(handler: Handler, args: readonly unknown[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = (error?: unknown): void => {
      if (error === undefined || error === null || error === false) resolve();
      else reject(error);
    };
    const returned = handler(...args, next); // what it throws here rejects
    if (takesNext(handler, args)) void Promise.resolve(returned).catch(reject);
    else void Promise.resolve(returned).then(() => resolve(), reject);
  });
}
