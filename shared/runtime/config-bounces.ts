/** What is to happen with mail that failed: the checked form of `core/email-bounce`, `core/http-bounce`, `webhooks` and `bouncesFile`. */

import { resolve } from "node:path";

import { parseAddress } from "../domain/address.ts";
import type { BounceConfig, DsnConfig, EventReceiver } from "../domain/config.ts";
import { EVENT_TYPES } from "../domain/event.ts";
import type { ZoneName } from "../domain/zone.ts";
import { bounceRulesOf } from "./bounce-rules-file.ts";
import type { Report } from "./config-errors.ts";
import { printPath } from "./config-errors.ts";
import type { ConfigSettings } from "./config-schema.ts";

type Path = readonly PropertyKey[];

export interface BounceContext {
  readonly baseDir: string;
  readonly hostname: string;
  readonly report: Report;
  readonly zoneNamed: (text: string, path: Path) => ZoneName;
  readonly checkInterfaces: (names: readonly string[], path: Path) => void;
}

const EMAIL_BOUNCE = ["plugins", "core/email-bounce"];
const HTTP_BOUNCE = ["plugins", "core/http-bounce"];

export function bouncesOf(settings: ConfigSettings, context: BounceContext): BounceConfig {
  const plugin = settings.plugins["core/email-bounce"];
  context.checkInterfaces(plugin.disableInterfaces, [...EMAIL_BOUNCE, "disableInterfaces"]);
  const general: DsnConfig = {
    disabled: !plugin.enabled,
    mailerDaemon: mailerDaemonOf(plugin.mailerDaemon, [...EMAIL_BOUNCE, "mailerDaemon"], context),
    zone: context.zoneNamed(plugin.sendingZone, [...EMAIL_BOUNCE, "sendingZone"]),
  };
  return {
    ...general,
    disableInterfaces: plugin.disableInterfaces,
    delay: { enabled: plugin.delayEmail.enabled, afterMs: plugin.delayEmail.after },
    byZone: byZoneOf(plugin.zoneConfig, general, context),
    ...rulesOf(settings, context),
  };
}

type EmailBounceSettings = ConfigSettings["plugins"]["core/email-bounce"];

function byZoneOf(
  zoneConfig: EmailBounceSettings["zoneConfig"],
  general: DsnConfig,
  context: BounceContext,
): Map<ZoneName, DsnConfig> {
  const byZone = new Map<ZoneName, DsnConfig>();
  for (const [name, own] of Object.entries(zoneConfig)) {
    if (own.disabled) continue;
    const path = [...EMAIL_BOUNCE, "zoneConfig", name];
    const zone = context.zoneNamed(name, path);
    if (byZone.has(zone)) context.report(path, `the zone ${zone} is here twice`);
    byZone.set(zone, {
      disabled: general.disabled || own.silent,
      mailerDaemon:
        own.mailerDaemon === undefined
          ? general.mailerDaemon
          : mailerDaemonOf(own.mailerDaemon, [...path, "mailerDaemon"], context),
      zone:
        own.sendingZone === undefined
          ? general.zone
          : context.zoneNamed(own.sendingZone, [...path, "sendingZone"]),
    });
  }
  return byZone;
}

function mailerDaemonOf(
  given: EmailBounceSettings["mailerDaemon"],
  path: Path,
  { hostname, report }: BounceContext,
): DsnConfig["mailerDaemon"] {
  const address = parseAddress(given.address.replaceAll("[HOSTNAME]", hostname));
  if (address === null) report([...path, "address"], `is not a mail address with our host name ${hostname}`);
  return { name: given.name, address: address ?? "" };
}

function rulesOf(
  { bouncesFile }: ConfigSettings,
  { baseDir, report }: BounceContext,
): Pick<BounceConfig, "rulesFile" | "rules"> {
  if (bouncesFile === undefined) return { rulesFile: null, rules: [] };
  const rulesFile = resolve(baseDir, bouncesFile);
  const rules = bounceRulesOf(rulesFile, (path, message) => {
    const place = path.length === 0 ? "" : `${typeof path[0] === "string" ? path[0] : printPath(path)}: `;
    report(["bouncesFile"], `${place}${message}`);
  });
  return { rulesFile, rules };
}

/** A suppressed recipient is one who did not get the mail, as much as one who bounced. */
const BOUNCE_TYPES = ["bounce", "expiry", "suppression"] as const;

export function receiversOf(settings: ConfigSettings, report: Report): EventReceiver[] {
  const webhooks = settings.webhooks.map(({ url, types = EVENT_TYPES, secret = null }): EventReceiver => ({
    url,
    format: "json",
    types: [...new Set(types)],
    secret,
  }));
  for (const [i, { url }] of webhooks.entries()) {
    if (webhooks.findIndex((other) => other.url === url) < i)
      report(["webhooks", i, "url"], "is here twice: name all its types in one entry");
  }
  const { enabled, url } = settings.plugins["core/http-bounce"];
  if (!enabled) return webhooks;
  if (url === undefined) {
    report([...HTTP_BOUNCE, "url"], "is missing: where are bounces to be told?");
    return webhooks;
  }
  return [...webhooks, { url, format: "form", types: BOUNCE_TYPES, secret: null }];
}
