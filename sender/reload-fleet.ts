/**
 * A reload: the configuration is read again when somebody wishes it, and all workers are replaced by such as have it. What is wrong
 * with it is said, and nothing changes. How one worker takes the place of another is the supervisor's.
 */

import { DomainError } from "#shared/domain/errors.ts";
import type { Settings } from "#shared/runtime/config.ts";
import type { Logger } from "#shared/runtime/log.ts";

export interface ReloadSource {
  /** `listener` is called at each wish for a reload. */
  readonly onWish: (listener: () => void) => void;
  /** The settings to have in place of `current`; throws a `DomainError` when they are wrong. */
  readonly read: (current: Settings) => Promise<Settings>;
  /** Tell the person at the screen. */
  readonly say: (text: string) => void;
}

/** `message`: what a worker said when it could not start; null: nothing, and the log says more. */
export type Replaced = { readonly ok: true } | { readonly ok: false; readonly message: string | null };

export interface ReloadDeps {
  readonly source: ReloadSource;
  readonly settings: () => Settings;
  /** From now on workers have these settings. Not ok: they could not start, and nothing has changed. */
  readonly replaceAll: (next: Settings) => Promise<Replaced>;
  readonly log: Logger;
}

/** One reload at a time: wishes that come meanwhile are one after it. */
export function reloadOnWish(deps: ReloadDeps): void {
  deps.source.onWish(onceAtATime(() => reload(deps)));
}

async function reload({ source, settings, replaceAll, log }: ReloadDeps): Promise<void> {
  const { read, say } = source;
  try {
    const next = await read(settings());
    const replaced = await replaceAll(next);
    if (!replaced.ok)
      throw new DomainError(
        "invalid-config",
        replaced.message ?? "workers cannot start on it: the log says why",
      );
    log.info({ component: "supervisor", digest: next.config.digest }, "configuration reloaded");
    say("The configuration was read again; new workers are at work on it.");
  } catch (error) {
    log.error({ component: "supervisor", err: error }, "configuration not reloaded");
    say(
      `zonefleet: nothing has changed, as the configuration cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** Runs `work` for each call, never twice at a time: calls that come meanwhile are one call after it. */
function onceAtATime(work: () => Promise<void>): () => void {
  let running = false;
  let again = false;
  const run = async (): Promise<void> => {
    running = true;
    do {
      again = false;
      await work();
    } while (again);
    running = false;
  };
  return () => {
    again = true;
    if (!running) void run();
  };
}
