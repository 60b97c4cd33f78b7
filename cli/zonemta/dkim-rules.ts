/** What is other about the plugin that signs all mail than in a ZoneMTA, where some of its options come to nothing. */

import type { Rule, RuleContext } from "./rule.ts";
import type { Tree } from "./tree.ts";
import { treeAt } from "./tree.ts";

export const DKIM_RULES: readonly Rule[] = [endWithoutTime, sendingHost];

const PLUGIN = "core/dkim";

function pluginIn(config: Tree): Tree {
  return treeAt(treeAt(config, "plugins"), PLUGIN);
}

/** ZoneMTA's own defaults have no time. An end without one is refused here, as it would have no effect. */
function endWithoutTime(config: Tree, { leftOut }: RuleContext): void {
  const plugin = pluginIn(config);
  const { addSignatureTimestamp: time, signatureExpireIn: end } = plugin;
  if (time !== false || end === undefined) return;
  delete plugin["signatureExpireIn"];
  if (Number(end) > 0)
    leftOut(["plugins", PLUGIN, "signatureExpireIn"], "it has no effect without addSignatureTimestamp");
}

function sendingHost(config: Tree, { changed }: RuleContext): void {
  const { enabled = false, signTransportDomain } = pluginIn(config);
  if (enabled === false || signTransportDomain !== true) return;
  const why =
    "has an effect here: mail is signed for the name it says in EHLO, too, where there is a key for that name or one above it";
  changed(["plugins", PLUGIN, "signTransportDomain"], why);
}
