/**
 * `core/limiter`: no sender writes to one recipient without end. What is over the limit of their window is sent to nobody, and nobody
 * gets a report on it: a report may be what keeps a program answering itself. All processes and hosts count together.
 *
 * Each mail counts once, at its first attempt: what has to wait does not use the limit up. Reports come from `<>`, and do not count.
 */

import { SECOND } from "../domain/units.ts";
import type { PluginApp } from "../plugins/app.ts";

export const title = "Limiter";

/** As the schema in runtime/config-core-plugins.ts has checked it. */
export interface LimiterOptions {
  readonly limit: number;
  /** Seconds, as in ZoneMTA. */
  readonly windowSize: number;
  /** True: what is over the limit is logged and sent. */
  readonly debug: boolean;
}

export async function init(app: PluginApp): Promise<void> {
  const { limit, windowSize, debug } = app.config as unknown as LimiterOptions;

  app.addHook("sender:fetch", async (delivery) => {
    const { envelope, _deferred: waitedSince } = delivery;
    const { from, to } = envelope;
    if (from === "" || waitedSince !== null) return;
    const pair = `${from}:${to}`.toLowerCase();
    const count = await app.count(pair, windowSize * SECOND).catch((error: unknown) => error as Error);
    if (count instanceof Error) {
      // mail does not wait for a limit
      app.logger.error("Ratelimit", "RLERR from=%s to=%s error=%s", from, to, count.message);
      return;
    }
    if (count <= limit) return;
    const reason = `EXCESSERR from=${from} to=${to} count=${count} limit=${limit} windowSize=${windowSize}`;
    if (!debug) throw app.drop(delivery, `582 ${reason}`);
    app.logger.error("Ratelimit", reason);
  });
}
