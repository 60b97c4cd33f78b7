/** Where a key of ZoneMTA means something else here, or nothing: the table behind `zonefleet import-config`. */

import type { Tree } from "./tree.ts";
import { isTree } from "./tree.ts";

const PROCESSES =
  "the environment variable ZONEFLEET_PROCESSES says how many processes there are, and each does everything";
const NO_SERVER = "there is no database to name: the queue is in the data folder (ZONEFLEET_DATA), or on AWS";
const NO_QUEUE_SERVER = "processes meet in the store; there is no queue server";
const DNS_CACHE = "answers are kept for as long as the DNS says";
const NO_VERSION = "the greeting never shows a version";
const TLS_TERMS = "TLS 1.2 and later, with the ciphers of Node, for all interfaces";
const ALL_OFFERED = "what an interface can do is offered";
const SMTP_LOG = "dialogues are not logged; each attempt is, with the peer's reply";

/** Keys without a meaning, a star for any one name. */
const MEANINGLESS: readonly (readonly [path: string, why: string])[] = [
  ["ident", "processes and log lines go by the name of the service that runs them"],
  ["dbs", NO_SERVER],
  ["queue instanceId", "every worker has a name of its own, and any of them may send any mail"],
  ["queue gfs", NO_SERVER],
  ["queue collection", NO_SERVER],
  ["queue disableGC", "what is over is always cleared away, and nothing before its outcome is known"],
  ["queue logQueuePolling", "the queue is not polled in a way that could be logged"],
  ["queueServer", NO_QUEUE_SERVER],
  ["smtpInterfaces * processes", PROCESSES],
  ["smtpInterfaces * disableVersionString", NO_VERSION],
  ["smtpInterfaces * logger", SMTP_LOG],
  ...[
    "authMethods",
    "disabledCommands",
    "hideSTARTTLS",
    "hidePIPELINING",
    "hide8BITMIME",
    "hideSMTPUTF8",
    "hideSize",
  ].map((key) => [`smtpInterfaces * ${key}`, ALL_OFFERED] as const),
  ...["ciphers", "minVersion", "dhparam", "secureProtocol", "secureOptions"].map(
    (key) => [`smtpInterfaces * ${key}`, TLS_TERMS] as const,
  ),
  ["smtpInterfaces * secured", "no proxy takes TLS off before us: it would have to be believed"],
  ["smtpInterfaces * closeTimeout", "a drain gives all connections the same time"],
  ["zones * processes", PROCESSES],
  ["dns caching", DNS_CACHE],
  ["dns cacheTTL", DNS_CACHE],
  ["api hostname", "nothing uses it, in ZoneMTA neither"],
  ["api user", "it was for trying core/http-auth out; accounts are made by npx zonefleet account add"],
  ["api pass", "it was for trying core/http-auth out; accounts are made by npx zonefleet account add"],
  ["log queue", SMTP_LOG],
  ["dkim hashAlgo", "mail is signed with SHA-256; SHA-1 is not accepted any more (RFC 8301)"],
  ["dkim debug", "bodies are not logged"],
  ["zones * logLevel", "the environment variable LOG_LEVEL is for all zones"],
  ["zones * logger", SMTP_LOG],
  ["zones * debug", SMTP_LOG],
  ["zones * resolveIp", "it has no effect in ZoneMTA neither"],
  ["domainConfig * logger", SMTP_LOG],
  ["corePluginsPath", "core plugins are part of the program"],
  [
    "bouncesFile",
    "the two last rules of ZoneMTA's file match every reply, so nothing would be left for the built-in rules; take over only lines of your own (docs/coming-from-zonemta.md)",
  ],
];

/** Null: the key is carried over, as far as the schema takes it. */
export function meaningless(path: readonly string[]): string | null {
  return MEANINGLESS.find(([pattern]) => fits(pattern.split(" "), path))?.[1] ?? null;
}

function fits(pattern: readonly string[], path: readonly string[]): boolean {
  return pattern.length === path.length && pattern.every((name, i) => name === "*" || name === path[i]);
}

interface Notes {
  readonly note: (path: readonly string[], why: string) => void;
}

type Rule = (config: Tree, notes: Notes) => void;

/** Each makes of a key what has the same effect here, and notes what it did. */
export const CHANGED_MEANING: readonly Rule[] = [
  pluginsAsObjects,
  pluginsThatAreCore,
  ownPlugins,
  connectionsOfAllProcesses,
  dkimPlugin,
  namesOfNothing,
  sinksForTrying,
];

/** `"core/x": "main"` says no more than that it is on. */
function pluginsAsObjects(config: Tree): void {
  for (const [name, value] of Object.entries(treeAt(config, "plugins"))) {
    if (!isTree(value)) treeAt(config, "plugins")[name] = { enabled: value };
  }
}

/** Packages of ZoneMTA's makers that need Redis or the headers of each mail in `sender:fetch`: what they do is in core plugins here. */
const CORE_BY_PACKAGE = new Map([
  ["modules/zonemta-loop-breaker", "core/loop-breaker"],
  ["modules/zonemta-limiter", "core/limiter"],
]);

function pluginsThatAreCore(config: Tree, { note }: Notes): void {
  const plugins = treeAt(config, "plugins");
  for (const [name, core] of CORE_BY_PACKAGE) {
    const plugin = plugins[name];
    if (!isTree(plugin)) continue;
    delete plugins[name];
    delete plugin["prefix"]; // of keys in Redis
    delete plugin["key"]; // named in a README, and read by nobody
    plugins[core] = plugin;
    note(["plugins", name], `is ${core} now`);
  }
}

/** They are loaded as they are. */
function ownPlugins(config: Tree, { note }: Notes): void {
  for (const [name, value] of Object.entries(treeAt(config, "plugins"))) {
    if (name.startsWith("core/") || !isTree(value) || value["enabled"] === false) continue;
    note(["plugins", name], "is loaded here too: look through docs/plugins.md for what it can rely on");
  }
}

/** In ZoneMTA they are those of one process. */
function connectionsOfAllProcesses(config: Tree, { note }: Notes): void {
  for (const [name, zone] of Object.entries(treeAt(config, "zones"))) {
    if (!isTree(zone)) continue;
    const { processes, connections } = zone;
    if (typeof connections !== "number" || typeof processes !== "number" || processes <= 1) continue;
    zone["connections"] = connections * processes;
    note(
      ["zones", name, "connections"],
      `is ${connections * processes} now: ${connections} in each of ${processes} processes before, all processes together here`,
    );
  }
}

/** The plugin signs with one key; here keys are a list. */
function dkimPlugin(config: Tree, { note }: Notes): void {
  const plugins = treeAt(config, "plugins");
  const plugin = plugins["core/dkim"];
  if (!isTree(plugin) || plugin["enabled"] === false) return;
  const { domain, selector, path } = plugin;
  if (typeof domain !== "string" || typeof selector !== "string" || typeof path !== "string") return;
  delete plugins["core/dkim"];
  const dkim = treeAt(config, "dkim");
  const keys = Array.isArray(dkim["keys"]) ? dkim["keys"] : [];
  config["dkim"] = { ...dkim, keys: [...keys, { domain, selector, path }] };
  note(["plugins", "core/dkim"], "is in dkim.keys now, which signs the mail of its domain");
}

/** Interfaces that take no connection. */
const OTHER_ORIGINS = ["api", "bounce"];
const DEFAULT_INTERFACE = "feeder";
const BUILT_IN_ZONES = ["default", "bounces"];

/** ZoneMTA's own defaults name interfaces and zones that few have; here such a name would be a slip. */
function namesOfNothing(config: Tree, { note }: Notes): void {
  const written = Object.keys(treeAt(config, "smtpInterfaces"));
  const interfaces = new Set([...(written.length > 0 ? written : [DEFAULT_INTERFACE]), ...OTHER_ORIGINS]);
  const zones = new Set(
    [...Object.keys(treeAt(config, "zones")), ...BUILT_IN_ZONES].map((name) => name.toLowerCase()),
  );
  const plugins = treeAt(config, "plugins");
  for (const [plugin, key] of [
    ["core/email-bounce", "disableInterfaces"],
    ["core/default-headers", "allowRoutingHeaders"],
  ] as const) {
    const holder = treeAt(plugins, plugin);
    const list = holder[key];
    if (!Array.isArray(list)) continue;
    const gone = list.filter((name) => typeof name === "string" && !interfaces.has(name));
    holder[key] = list.filter((name) => !gone.includes(name));
    for (const name of gone)
      note(["plugins", plugin, key], `is without ${JSON.stringify(name)}: there is no such interface`);
  }
  const ofZones = treeAt(treeAt(plugins, "core/email-bounce"), "zoneConfig");
  for (const name of Object.keys(ofZones)) {
    if (zones.has(name.toLowerCase())) continue;
    delete ofZones[name];
    note(
      ["plugins", "core/email-bounce", "zoneConfig"],
      `is without ${JSON.stringify(name)}: there is no such zone`,
    );
  }
}

/** ZoneMTA's defaults lead to routes of its own that are for trying these plugins out. */
function sinksForTrying(config: Tree, { note }: Notes): void {
  for (const plugin of ["core/http-auth", "core/http-bounce"]) {
    const { enabled, url } = treeAt(treeAt(config, "plugins"), plugin);
    if (enabled === false || typeof url !== "string" || !/\/(test-auth|report-bounce)$/.test(url)) continue;
    note(
      ["plugins", plugin, "url"],
      "leads to a route for trying it out that is not here: name a server of yours",
    );
  }
}

function treeAt(config: Tree, key: string): Tree {
  const value = config[key];
  return isTree(value) ? value : {};
}
