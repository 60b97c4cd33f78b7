/**
 * The plugins of one process as the rest of the program sees them: who takes which hook, and how hooks are run.
 *
 * 1. Hooks of one name run one after another, in the order of the plugins and of their registration, and stop at the first error.
 * 2. No handler holds a mail for longer than its time, and none can throw anything but a verdict or a `PluginError`.
 * 3. Where nothing is registered, nothing is called and nothing is made: a process without plugins pays for none.
 */

import type { Clock } from "../domain/clock.ts";
import type { PluginConfig } from "../domain/config.ts";
import { SECOND } from "../domain/units.ts";
import { callHandler } from "./call.ts";
import type {
  AnalyzerHandler,
  HookArguments,
  HookHandler,
  HookName,
  NodeFilter,
  RewriteHandler,
  StreamHandler,
} from "./hooks.ts";
import { PER_RECIPIENT } from "./hooks.ts";
import type * as mimeModule from "./mime.ts";
import type { PluginRoute } from "./routes.ts";
import { verdictOf } from "./verdict.ts";
import type { PluginError } from "./verdict.ts";

/** Longest time for one hook while a client waits for his reply. */
export const RECEIVER_HOOK_MS = 10 * SECOND;
/** The same for hooks of a delivery, and all that nobody waits for. */
export const SENDER_HOOK_MS = 30 * SECOND;
/** At most, for one that an open connection stands idle for, and whose errors change nothing. */
export const CONNECTION_HOOK_MS = 5 * SECOND;
/** Calls of hooks that nobody waits for: more at once are left out, and counted in the log. */
export const MAX_TOLD_AT_ONCE = 1_000;

/** The part of pino that is used here. */
export interface PluginLog {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
}

/** One handler, and whose it is. */
export interface Registered<H> {
  readonly plugin: PluginConfig;
  readonly handler: H;
}

export interface Filtered<H> extends Registered<H> {
  readonly filter: NodeFilter;
}

/** What all plugins together have registered. Filled while they are loaded. */
export interface Registry {
  readonly hooks: Map<HookName, Registered<HookHandler<HookName>>[]>;
  readonly analyzers: Registered<AnalyzerHandler>[];
  readonly rewriters: Filtered<RewriteHandler>[];
  readonly streamers: Filtered<StreamHandler>[];
  readonly routes: PluginRoute[];
}

export function emptyRegistry(): Registry {
  return { hooks: new Map(), analyzers: [], rewriters: [], streamers: [], routes: [] };
}

/** What needs mailsplit, so that only a process with plugins has it in its memory. */
export type Mime = typeof mimeModule;

export interface Plugins {
  readonly registry: Registry;
  readonly mime: Mime;
  readonly clock: Clock;
  readonly log: PluginLog;
  /** True: somebody takes one of these hooks. */
  has(...names: readonly HookName[]): boolean;
  /** Run a hook whose error means something. Rejects with a `RefusedError`, a `DroppedError` or a `PluginError`. */
  run<N extends HookName>(name: N, ...args: HookArguments[N]): Promise<void>;
  /** Run a hook whose error changes nothing: it is logged. Never rejects. */
  tell<N extends HookName>(name: N, ...args: HookArguments[N]): Promise<void>;
  /** True: bodies pass by plugins on their way in. */
  readonly watchesBodies: boolean;
  /** True: mail that comes in is shown to plugins in any way. */
  readonly watchesMail: boolean;
  /** True: each recipient is delivered to by himself. */
  readonly oneByOne: boolean;
}

export interface PluginDeps {
  readonly mime: Mime;
  readonly clock: Clock;
  readonly log: PluginLog;
}

export function pluginsOf(registry: Registry, { mime, clock, log }: PluginDeps): Plugins {
  const { hooks, analyzers, rewriters, streamers } = registry;
  const has = (...names: readonly HookName[]): boolean => names.some((name) => hooks.has(name));
  const watchesBodies = analyzers.length + rewriters.length + streamers.length > 0;
  let told = 0;

  async function run<N extends HookName>(name: N, ...args: HookArguments[N]): Promise<void> {
    for (const { plugin, handler } of hooks.get(name) ?? []) {
      const options = {
        clock,
        plugin: plugin.key,
        what: `its hook ${name}`,
        timeoutMs: hookTime(plugin, name),
      };
      try {
        await callHandler(handler as (...all: unknown[]) => unknown, args, options);
      } catch (error) {
        throw verdictOf(plugin.key, error);
      }
    }
  }

  return {
    registry,
    mime,
    clock,
    log,
    has,
    run,
    async tell(name, ...args) {
      if (!hooks.has(name)) return;
      if (told >= MAX_TOLD_AT_ONCE) {
        log.warn(
          { component: "plugin", hook: name, running: told },
          "hook left out: too many of its kind are running",
        );
        return;
      }
      told++;
      try {
        await run(name, ...args);
      } catch (error) {
        const { plugin = null } = error as Partial<PluginError>;
        log.warn({ component: "plugin", plugin, hook: name, err: error }, "hook failed");
      } finally {
        told--;
      }
    },
    watchesBodies,
    watchesMail:
      watchesBodies ||
      has(
        "api:mail",
        "smtp:mail_from",
        "smtp:data",
        "message:headers",
        "message:store",
        "message:queue",
        "queue:route",
      ),
    oneByOne: has(...PER_RECIPIENT),
  };
}

function hookTime({ hookTimeoutMs }: PluginConfig, name: HookName): number {
  if (name === "sender:connection") return Math.min(hookTimeoutMs ?? CONNECTION_HOOK_MS, CONNECTION_HOOK_MS);
  const isWaitedFor = name.startsWith("smtp:") || name.startsWith("message:") || name.startsWith("api:");
  return hookTimeoutMs ?? (isWaitedFor || name === "queue:route" ? RECEIVER_HOOK_MS : SENDER_HOOK_MS);
}
