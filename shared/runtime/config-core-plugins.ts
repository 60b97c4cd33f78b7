/**
 * The table of plugins as people write it: the core ones with their options, which are ZoneMTA's, and any others. What most core
 * plugins are told here is done by the program itself; those in `CORE_MODULES` are modules like any other plugin.
 */

import * as z from "zod";

import { HOUR, SECOND } from "../domain/units.ts";
import { count, domain, duration, httpUrl, line, mailbox, timeout, timeoutOrNone } from "./config-fields.ts";
import { DkimPluginSchema } from "./config-dkim.ts";
import { contexts, moduleFields, ordering } from "./config-module-fields.ts";
import { LimiterSchema, LoopBreakerSchema } from "./config-loops.ts";
import { ClamavSchema, RspamdSchema } from "./config-scanners.ts";

/** Of a core plugin that is no module: every context means yes. */
const isOn = contexts.transform((list) => list.length > 0);

const addMissing = z
  .string()
  .trim()
  .toLowerCase()
  .pipe(z.enum(["message-id", "date", "to", "mime-version"]));

const mailerDaemon = z.strictObject({
  name: line.default("Mail Delivery Subsystem"),
  address: mailbox.default("mailer-daemon@[HOSTNAME]"),
});

const emailBounce = z.strictObject({
  enabled: isOn.default(true),
  ordering,
  mailerDaemon: mailerDaemon.prefault({}),
  sendingZone: z.string().default("bounces"),
  disableInterfaces: z.array(z.string()).default([]),
  /** The sender is told once that mail is late, at the first deferral so long after the first one. */
  delayEmail: z
    .strictObject({ enabled: z.boolean().default(true), after: duration.default(3 * HOUR) })
    .prefault({}),
  /** For mail of a zone, over what is said above. */
  zoneConfig: z
    .record(
      z.string(),
      z.strictObject({
        /** True: as if nothing were said for this zone, as in ZoneMTA. */
        disabled: z.boolean().default(false),
        /** True: its mail gets no DSN. */
        silent: z.boolean().default(false),
        mailerDaemon: mailerDaemon.optional(),
        sendingZone: z.string().optional(),
      }),
    )
    .default({}),
});

/** A server of the operator's own that is asked by HTTP. */
const httpService = ({ cacheTtl }: { cacheTtl: number }) =>
  z
    .strictObject({
      enabled: isOn.default(false),
      ordering,
      url: httpUrl.optional(),
      timeout: timeout.default(10 * SECOND),
      /** How long an answer that lets somebody pass is remembered; 0: each is asked anew. */
      cacheTTL: timeoutOrNone.default(cacheTtl),
    })
    .prefault({});

/** RFC 5321 §6.3 wants a bound of 100 at least. */
export const MAX_HOPS_ANYWAY = 1_000;

const core = z.object({
  "core/default-headers": z
    .strictObject({
      /** False: nothing is added or obeyed; Bcc and X-Sending-Zone are taken out all the same. */
      enabled: isOn.default(true),
      ordering,
      allowRoutingHeaders: z.array(z.string()).default(["api", "bounce"]),
      addMissing: z.array(addMissing).default(["message-id", "date"]),
      futureDate: z.boolean().default(false),
      xOriginatingIP: z.boolean().default(true),
    })
    .prefault({}),
  /** Who may log in: `url` is asked with the name and password as HTTP Basic auth. */
  "core/http-auth": httpService({ cacheTtl: 30 * SECOND }),
  /** What is to happen with a sender's mail: `url` is told of each sender, and says which zone, when, or that it is refused. */
  "core/http-config": httpService({ cacheTtl: 0 }),
  /** Recipients of one message that comes by HTTP; where `api.maxRecipients` is less, that holds. */
  "core/api-send": z
    .strictObject({ enabled: isOn.default(false), ordering, maxRecipients: count.default(100) })
    .prefault({}),
  /** Return paths of domains that are not excluded are sent as addresses in `rewriteDomain` (SRS). */
  "core/srs": z
    .strictObject({
      enabled: isOn.default(false),
      ordering,
      secret: z.string().max(500).optional(),
      rewriteDomain: domain.optional(),
      excludeDomains: z.array(domain).default([]),
    })
    .prefault({}),
  "core/dkim": DkimPluginSchema.prefault({}),
  /** Mail with more Received lines goes round in a loop. Off, the bound is `MAX_HOPS_ANYWAY`: without any, a loop never ends. */
  "core/delivery-loop": z
    .strictObject({
      enabled: isOn.default(true),
      ordering,
      maxHops: z.int().min(1).max(MAX_HOPS_ANYWAY).default(35),
    })
    .prefault({}),
  "core/email-bounce": emailBounce.prefault({}),
  "core/http-bounce": z
    .strictObject({ enabled: isOn.default(false), ordering, url: httpUrl.optional() })
    .prefault({}),
});

/** Core plugins that are modules: `core/<name>` is `shared/core-plugins/<name>.ts`. */
const modules = z.object({
  "core/clamav": ClamavSchema.prefault({}),
  "core/rspamd": RspamdSchema.prefault({}),
  "core/image-hashes": z.strictObject(moduleFields).prefault({}),
  "core/loop-breaker": LoopBreakerSchema.prefault({}),
  "core/limiter": LimiterSchema.prefault({}),
});

/** Any other plugin: what is not said of all is its own. */
export const OwnPluginSchema = z.looseObject({ ...moduleFields, enabled: contexts });

const CORE = "core/";

export const PluginsSchema = z
  .object({ ...core.shape, ...modules.shape })
  .catchall(z.unknown())
  .superRefine((plugins, context) => {
    const unknown = Object.keys(plugins).filter((key) => key.startsWith(CORE) && !isKnown(key));
    if (unknown.length > 0) context.addIssue({ code: "unrecognized_keys", keys: unknown, input: plugins });
  });

type ModuleKey = keyof typeof modules.shape;
export const MODULE_KEYS = Object.keys(modules.shape) as readonly ModuleKey[];

function isKnown(key: string): boolean {
  return Object.hasOwn(core.shape, key) || Object.hasOwn(modules.shape, key);
}

/** ZoneMTA's short form: `"core/x": "sender"` says where it runs and nothing more. */
export function withoutShortForms(input: unknown): unknown {
  const { plugins } = (input ?? {}) as { plugins?: unknown };
  if (typeof plugins !== "object" || plugins === null || Array.isArray(plugins)) return input;
  const entries = Object.entries(plugins).map(([key, value]: [string, unknown]) => [
    key,
    isShort(value) ? { enabled: value } : value,
  ]);
  return { ...(input as object), plugins: Object.fromEntries(entries) };
}

function isShort(value: unknown): boolean {
  return typeof value === "boolean" || typeof value === "string" || Array.isArray(value);
}

type Enabled = z.input<typeof contexts>;
type Known = z.input<typeof core> & z.input<typeof modules>;
export type PluginsInput = { readonly [K in keyof Known]?: Known[K] | Enabled } & Readonly<
  Record<string, unknown>
>;
