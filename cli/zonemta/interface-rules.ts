/** What is other about SMTP interfaces than in a ZoneMTA. */

import { isOn } from "./rule.ts";
import type { Rule, RuleContext } from "./rule.ts";
import type { Tree } from "./tree.ts";
import { treeAt, treesIn } from "./tree.ts";

/** ZoneMTA's own defaults have an interface of this name. */
const DEFAULT_INTERFACE = "feeder";
const ALL_ADDRESSES = "0.0.0.0";

export const INTERFACE_RULES: readonly Rule[] = [interfaceOfDefaults, interfaces];

/** A file that is read over those defaults adds its interfaces to it. */
function interfaceOfDefaults(config: Tree, { changed, hasDefaults }: RuleContext): void {
  const written = treesIn(config, "smtpInterfaces").map(([name]) => name);
  if (hasDefaults || written.length === 0 || written.includes(DEFAULT_INTERFACE)) return;
  const why =
    "is not there: ZoneMTA has it on 127.0.0.1:2525 by its own defaults; add it if something sends by it";
  changed(["smtpInterfaces", DEFAULT_INTERFACE], why);
}

function interfaces(config: Tree, context: RuleContext): void {
  for (const [name, one] of treesIn(config, "smtpInterfaces")) {
    nameInGreeting(name, one, context);
    keysOfNoUse(name, one, context);
    logins(name, one, config, context);
    everyPeer(one);
    if (name !== DEFAULT_INTERFACE) withoutDefaults(name, one, context);
  }
}

function nameInGreeting(name: string, one: Tree, { changed }: RuleContext): void {
  const { name: greeting, banner } = one;
  if (typeof greeting !== "string") return;
  delete one["name"];
  if (banner !== undefined) return; // which goes before it in ZoneMTA
  one["banner"] = `Welcome to ${greeting}!`;
  changed(["smtpInterfaces", name, "name"], `is banner now: ${JSON.stringify(one["banner"])}`);
}

/** What ZoneMTA passes over, and stops the start here. */
function keysOfNoUse(name: string, one: Tree, { leftOut }: RuleContext): void {
  const without = (key: string, why: string): void => {
    delete one[key];
    leftOut(["smtpInterfaces", name, key], why);
  };
  if (one["secure"] === true && one["starttls"] === true)
    without("starttls", "with secure, TLS is there from the first byte");
  if (one["authOptional"] === true && one["authentication"] !== true)
    without("authOptional", "without authentication nobody has to log in");
}

/** Without a plugin, ZoneMTA takes any password. */
function logins(name: string, one: Tree, config: Tree, { changed }: RuleContext): void {
  if (one["authentication"] !== true || one["enabled"] === false) return;
  if (isOn(treeAt(config, "plugins")["core/http-auth"])) return;
  changed(
    ["smtpInterfaces", name, "authentication"],
    "takes the accounts made with npx zonefleet account add, where no plugin of yours decides; ZoneMTA takes any password then",
  );
}

/** A star among the peers is all of them, which is refused here, in words that say what to write. */
function everyPeer(one: Tree): void {
  for (const key of ["useProxy", "useXClient", "useXForward"]) {
    const peers = one[key];
    if (peers === "*" || (Array.isArray(peers) && peers.includes("*"))) one[key] = true;
  }
}

/** Without a host it is reached from everywhere in ZoneMTA, and without `enabled` it is not opened. */
function withoutDefaults(name: string, one: Tree, { changed }: RuleContext): void {
  const path = ["smtpInterfaces", name];
  if (one["enabled"] === undefined)
    changed([...path, "enabled"], "is not written, so ZoneMTA does not open it; it is open here");
  if (typeof one["host"] === "string" && one["host"] !== "") return;
  one["host"] = ALL_ADDRESSES;
  changed(
    [...path, "host"],
    `is ${ALL_ADDRESSES} now, all addresses of the machine, as it is in ZoneMTA where it is not written (:: for IPv6 too)`,
  );
}
