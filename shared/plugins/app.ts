/** What a plugin is given: its configuration, a log, and the ways to take hooks and to decide on a mail. */

import { format } from "node:util";

import type { Headers } from "mailsplit";

import type { PluginConfig } from "../domain/config.ts";
import type { RefusedError } from "../domain/errors.ts";
import { KIB } from "../domain/units.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import { defineAbsent } from "./absent.ts";
import type { ValidatedAddresses } from "./addresses.ts";
import { validateAddress } from "./addresses.ts";
import type {
  AnalyzerHandler,
  HookHandler,
  HookName,
  NodeFilter,
  RewriteHandler,
  StreamHandler,
} from "./hooks.ts";
import { CONTEXTS_OF, hookName } from "./hooks.ts";
import type { PluginLog, Registry } from "./plugins.ts";
import type { RouteHandler } from "./routes.ts";
import { routePath } from "./routes.ts";
import type { DroppedError } from "./verdict.ts";
import { dropped, rejection } from "./verdict.ts";
import type { DeliveryView, EnvelopeView, LogEntry, MessageInfo } from "./views.ts";

/** What a hook is about: a mail on its way in, or one recipient of one on its way out. */
type Mail = EnvelopeView | DeliveryView;

export interface PluginApp {
  /** All that stands in the configuration under the plugin's key. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly logger: PluginLogger;
  addHook<N extends HookName>(name: N, handler: HookHandler<N>): void;
  /** The bytes of each mail as they come, and what becomes of them; without `filter` of all mail. */
  addAnalyzerHook(handler: AnalyzerHandler): void;
  addAnalyzerHook(filter: (envelope: EnvelopeView) => unknown, handler: AnalyzerHandler): void;
  /** The decoded content of MIME parts, to be written anew. */
  addRewriteHook(filter: NodeFilter, handler: RewriteHandler): void;
  /** The decoded content of MIME parts, to be read. */
  addStreamHook(filter: NodeFilter, handler: StreamHandler): void;
  /** Serve `/plugin/<key><path>`; `:name` in the path is a parameter. For callers whose API key may do all. */
  addAPI(method: string, path: string, handler: RouteHandler): void;
  /** The addresses of a header, and `set` to put others in their place. */
  validateAddress(headers: Headers, key: string): ValidatedAddresses;
  /**
   * Count one more under `key`, over all processes and hosts, and resolve with how many that makes in the window of now. Windows begin
   * at multiples of their length. Rejects when the store is out of reach.
   */
  count(key: string, windowMs: number): Promise<number>;
  /**
   * Tell of what happened to a mail as its events are told: in the log, to `log:entry` and by `log.remote`. `seq` false: it is of the
   * whole mail. Fields are what JSON can hold, at most `MAX_ENTRY_BYTES`. Never throws.
   */
  remotelog(id: string, seq: string | false | null, action: string, fields?: object): void;
  /** A line of the log, in the form of a GELF message; sent by `log.gelf` where lines of its level are. */
  loggelf(message: GelfMessage): void;
  /** An error to end a hook with: the client hears 250, and the mail is sent to nobody. */
  drop(mail: Mail, description: string, messageInfo?: MessageInfo, text?: string): DroppedError;
  /** An error to end a hook with: the client hears `text`, whose first word may be the reply code; else it is 550. */
  reject(mail: Mail, description: string, messageInfo?: MessageInfo, text?: string): RefusedError;
}

export interface GelfMessage {
  readonly short_message: string;
  readonly full_message?: string;
  /** As syslog counts; left out: 6, information. */
  readonly level?: number;
  /** Begin with `_`. */
  readonly [additional: string]: unknown;
}

/** Of what is told of one event of mail: it goes in a datagram. */
export const MAX_ENTRY_BYTES = 32 * KIB;

/** As npmlog has it: `info("MyPlugin", "sent %s", id)`. */
export type PluginLogger = Readonly<
  Record<"error" | "warn" | "info" | "verbose" | "silly" | "debug", (...words: readonly unknown[]) => void>
>;

export interface AppDeps {
  readonly registry: Registry;
  readonly log: PluginLog;
  readonly limits: PluginLimits;
  /** To whom it may concern besides the log. */
  readonly onEntry: (entry: LogEntry) => void;
  /** Something that ZoneMTA has was asked for. */
  readonly onAbsent: (name: string, instead: string) => void;
}

/** What plugins keep with all other processes. */
export type PluginLimits = Pick<LimitStore, "countInWindow">;

/** Registers what `plugin` asks for, as far as it is enabled where that runs. */
export function pluginApp(
  plugin: PluginConfig,
  { registry, log, limits, onEntry, onAbsent }: AppDeps,
): PluginApp {
  const { key, contexts, options } = plugin;
  const fields = { component: "plugin", plugin: key };
  const takesMailIn = contexts.includes("receiver") || contexts.includes("main");
  const idle = (what: string): void =>
    log.warn({ ...fields, what, contexts }, "never called: not enabled for this");
  const verdict = (what: string, envelope: Mail, description: string, info?: MessageInfo): void =>
    log.info({ ...fields, messageId: envelope.id, reason: description, mail: info?.format() }, what);

  const app: PluginApp = {
    config: options,
    logger: loggerOf(log, fields),
    addHook(asked, handler) {
      const name = hookName(asked);
      if (name === null) {
        log.warn({ ...fields, what: asked }, "never called: there is no such hook");
      } else if (!CONTEXTS_OF[name].some((context) => contexts.includes(context))) {
        idle(name);
      } else {
        const registered = { plugin, handler: handler as unknown as HookHandler<HookName> };
        registry.hooks.set(name, [...(registry.hooks.get(name) ?? []), registered]);
      }
    },
    addAnalyzerHook(...given: [AnalyzerHandler] | [(envelope: EnvelopeView) => unknown, AnalyzerHandler]) {
      const handler = given.length === 1 ? given[0] : filteredAnalyzer(...given);
      if (takesMailIn) registry.analyzers.push({ plugin, handler });
      else idle("analyzer");
    },
    addRewriteHook(filter, handler) {
      if (takesMailIn) registry.rewriters.push({ plugin, filter, handler });
      else idle("rewriter");
    },
    addStreamHook(filter, handler) {
      if (takesMailIn) registry.streamers.push({ plugin, filter, handler });
      else idle("streamer");
    },
    addAPI(method, path, handler) {
      if (!contexts.includes("main")) return idle(`${method} ${path}`);
      registry.routes.push({ plugin, method: method.toUpperCase(), path: routePath(key, path), handler });
    },
    validateAddress,
    async count(name, windowMs) {
      if (!Number.isInteger(windowMs) || windowMs < 1)
        throw new TypeError("windowMs has to be a whole number of milliseconds, 1 or more");
      return limits.countInWindow(JSON.stringify([key, name]), windowMs);
    },
    remotelog(id, seq, action, given = {}) {
      const entry = dataIn(given);
      const bytes = entry === null ? 0 : Buffer.byteLength(JSON.stringify(entry));
      if (entry === null || bytes > MAX_ENTRY_BYTES)
        return log.warn(
          { ...fields, messageId: id, what: action, bytes },
          "entry left out: too large, or no data",
        );
      log.info({ ...fields, event: action, messageId: id, seq: seq || null, entry }, "plugin tells of mail");
      onEntry({ ...entry, id, ...(seq && { seq }), action });
    },
    loggelf({ short_message: text, full_message: details, level = 6, ...given }) {
      const says = level <= 3 ? "error" : level === 4 ? "warn" : level <= 6 ? "info" : "debug"; // syslog's (RFC 5424 §6.2.1)
      log[says]({ ...fields, text, details, entry: dataIn(given) }, "plugin says");
    },
    drop(envelope, description, info, text) {
      verdict("mail dropped by a plugin", envelope, description, info);
      return dropped(description, text ?? null);
    },
    reject(envelope, description, info, text) {
      verdict("mail refused by a plugin", envelope, description, info);
      return rejection(text ?? description);
    },
  };
  defineAbsent(app, (name, instead) => {
    log.warn({ ...fields, what: `app.${name}`, instead }, "not there: docs/plugins.md");
    onAbsent(name, instead);
  });
  return app;
}

/** Null: JSON cannot hold it. */
function dataIn(given: object): Record<string, unknown> | null {
  try {
    return JSON.parse(JSON.stringify(given)) as Record<string, unknown>;
  } catch {
    return null;
  }
}

function filteredAnalyzer(
  filter: (envelope: EnvelopeView) => unknown,
  handler: AnalyzerHandler,
): AnalyzerHandler {
  return (envelope, source, destination) =>
    filter(envelope) ? handler(envelope, source, destination) : source.pipe(destination);
}

function loggerOf(log: PluginLog, fields: object): PluginLogger {
  const at =
    (level: keyof PluginLog) =>
    (...words: readonly unknown[]): void => {
      const [prefix, ...rest] = words.length > 1 ? words : [null, ...words];
      log[level]({ ...fields, ...(prefix === null ? {} : { prefix }), text: format(...rest) }, "plugin says");
    };
  return {
    error: at("error"),
    warn: at("warn"),
    info: at("info"),
    verbose: at("debug"),
    silly: at("debug"),
    debug: at("debug"),
  };
}
