/** What is other about plugins and their options than in a ZoneMTA. */

import { existsSync } from "node:fs";
import { join } from "node:path";

import { foreignPackage, LIMITER_PACKAGE, LOOP_BREAKER_PACKAGE } from "#shared/runtime/zonemta-keys.ts";

import { isOn } from "./rule.ts";
import type { Rule, RuleContext } from "./rule.ts";
import type { Tree } from "./tree.ts";
import { isTree, treeAt, treesIn } from "./tree.ts";

export const PLUGIN_RULES: readonly Rule[] = [
  pluginsAsObjects,
  pluginsThatAreCore,
  foreignPackages,
  ownPlugins,
  folderOfOwnPlugins,
  lists,
  mailerDaemons,
  interfacesOfNothing,
  zonesOfNothing,
  sendingZones,
  sinksForTrying,
];

const EMAIL_BOUNCE = "core/email-bounce";
/** Where ZoneMTA looks for plugins unless it is told otherwise. */
const DEFAULT_FOLDER = "plugins";

/** `"core/x": "main"` says no more than that it is on. */
function pluginsAsObjects(config: Tree): void {
  for (const [name, value] of Object.entries(treeAt(config, "plugins"))) {
    if (!isTree(value)) treeAt(config, "plugins")[name] = { enabled: value };
  }
}

/** Packages of ZoneMTA's makers that need Redis or the headers of each mail in `sender:fetch`: what they do is in core plugins here. */
const CORE_BY_PACKAGE = new Map([
  [LOOP_BREAKER_PACKAGE, "core/loop-breaker"],
  [LIMITER_PACKAGE, "core/limiter"],
]);

function pluginsThatAreCore(config: Tree, { changed }: RuleContext): void {
  const plugins = treeAt(config, "plugins");
  for (const [name, core] of CORE_BY_PACKAGE) {
    const plugin = plugins[name];
    if (!isTree(plugin)) continue;
    delete plugins[name];
    delete plugin["prefix"]; // of keys in Redis
    delete plugin["key"]; // named in a README, and read by nobody
    plugins[core] = plugin;
    changed(["plugins", name], `is ${core} now`);
  }
}

function foreignPackages(config: Tree, { leftOut }: RuleContext): void {
  for (const [name, plugin] of treesIn(config, "plugins")) {
    const why = foreignPackage(name);
    if (why === null || !isOn(plugin)) continue;
    delete treeAt(config, "plugins")[name];
    leftOut(["plugins", name], why.replace(/; remove it.*$/, ""));
  }
}

/** They are loaded as they are. */
function ownPlugins(config: Tree, { changed }: RuleContext): void {
  for (const [name, plugin] of treesIn(config, "plugins")) {
    if (name.startsWith("core/") || !isOn(plugin)) continue;
    const from = /^modules?\//.test(name)
      ? ", from node_modules beside the file that is written (npm install it there)"
      : "";
    changed(["plugins", name], `is loaded here too${from}: see docs/plugins.md for what it can rely on`);
  }
}

function folderOfOwnPlugins(config: Tree, { changed, root }: RuleContext): void {
  const isOwn = ([name, plugin]: [string, Tree]): boolean => !/^(core|modules?)\//.test(name) && isOn(plugin);
  if (config["pluginsPath"] !== undefined || !treesIn(config, "plugins").some(isOwn)) return;
  const folder = join(root, DEFAULT_FOLDER);
  config["pluginsPath"] = folder;
  const hint = existsSync(folder)
    ? ""
    : "; there is no such folder: say with --root where ZoneMTA is started";
  changed(["pluginsPath"], `is ${folder} now, as in ZoneMTA where it is not written${hint}`);
}

/** ZoneMTA takes the text of a From header too. */
function mailerDaemons(config: Tree): void {
  const plugin = treeAt(treeAt(config, "plugins"), EMAIL_BOUNCE);
  for (const holder of [plugin, ...treesIn(plugin, "zoneConfig").map(([, zone]) => zone)]) {
    const text = holder["mailerDaemon"];
    if (typeof text !== "string") continue;
    const [, name = "", address = text] = /^\s*"?([^"<]*?)"?\s*<([^<>]+)>\s*$/.exec(text) ?? [];
    holder["mailerDaemon"] = name === "" ? { address: address.trim() } : { name, address };
  }
}

const LISTS = [
  "allowRoutingHeaders",
  "addMissing",
  "interfaces",
  "ignoreOrigins",
  "excludeDomains",
  "disableInterfaces",
];

/** ZoneMTA takes the one for a list of one, and false for a list of nothing; where nothing is said, there may be something. */
function lists(config: Tree): void {
  for (const [name, plugin] of treesIn(config, "plugins")) {
    if (!name.startsWith("core/")) continue;
    for (const key of LISTS) {
      if (plugin[key] === false) plugin[key] = [];
      else if (typeof plugin[key] === "string") plugin[key] = [plugin[key]];
    }
  }
}

/** Interfaces that take no connection. */
const OTHER_ORIGINS = ["api", "bounce"];
const DEFAULT_INTERFACE = "feeder";
const BUILT_IN_ZONES = ["default", "bounces"];

/** ZoneMTA's own defaults name interfaces that few have; here such a name would be a slip. */
function interfacesOfNothing(config: Tree, { changed }: RuleContext): void {
  const written = Object.keys(treeAt(config, "smtpInterfaces"));
  const interfaces = new Set([...(written.length > 0 ? written : [DEFAULT_INTERFACE]), ...OTHER_ORIGINS]);
  const plugins = treeAt(config, "plugins");
  for (const [plugin, key] of [
    [EMAIL_BOUNCE, "disableInterfaces"],
    ["core/default-headers", "allowRoutingHeaders"],
  ] as const) {
    const holder = treeAt(plugins, plugin);
    const list = holder[key];
    if (!Array.isArray(list)) continue;
    const gone = list.filter((name) => typeof name === "string" && !interfaces.has(name));
    holder[key] = list.filter((name) => !gone.includes(name));
    for (const name of gone)
      changed(["plugins", plugin, key], `is without ${JSON.stringify(name)}: there is no such interface`);
  }
}

/** And zones; but what is disabled is passed over here too. */
function zonesOfNothing(config: Tree, { changed }: RuleContext): void {
  const plugin = treeAt(treeAt(config, "plugins"), EMAIL_BOUNCE);
  for (const [name, { disabled }] of treesIn(plugin, "zoneConfig")) {
    if (zonesOf(config).has(name.toLowerCase()) || disabled === true) continue;
    delete treeAt(plugin, "zoneConfig")[name];
    const why = `is without ${JSON.stringify(name)}: there is no such zone`;
    changed(["plugins", EMAIL_BOUNCE, "zoneConfig"], why);
  }
}

function zonesOf(config: Tree): ReadonlySet<string> {
  return new Set(
    [...Object.keys(treeAt(config, "zones")), ...BUILT_IN_ZONES].map((name) => name.toLowerCase()),
  );
}

/** The name of a zone that is not there is passed over by ZoneMTA, and such a report goes by the zone of all mail. */
function sendingZones(config: Tree, { changed }: RuleContext): void {
  const plugin = treeAt(treeAt(config, "plugins"), EMAIL_BOUNCE);
  const { defaultZone = "default" } = treeAt(config, "queue");
  const places = treesIn(plugin, "zoneConfig").map(([name, zone]) => ({
    at: ["zoneConfig", name],
    holder: zone,
  }));
  for (const { at, holder } of [{ at: [], holder: plugin }, ...places]) {
    const zone = holder["sendingZone"];
    if (typeof zone !== "string" || zonesOf(config).has(zone.toLowerCase()) || holder["disabled"] === true)
      continue;
    holder["sendingZone"] = defaultZone;
    const why = `is ${JSON.stringify(defaultZone)} now: there is no zone ${JSON.stringify(zone)}`;
    changed(["plugins", EMAIL_BOUNCE, ...at, "sendingZone"], why);
  }
}

/** ZoneMTA's defaults lead to routes of its own that are for trying these plugins out. */
function sinksForTrying(config: Tree, { changed }: RuleContext): void {
  for (const plugin of ["core/http-auth", "core/http-bounce"]) {
    const { enabled, url } = treeAt(treeAt(config, "plugins"), plugin);
    if (enabled === false || typeof url !== "string" || !/\/(test-auth|report-bounce)$/.test(url)) continue;
    changed(
      ["plugins", plugin, "url"],
      "leads to a route that is for trying it out, here too: name a server of yours",
    );
  }
}
