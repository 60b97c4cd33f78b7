/** Where a key of ZoneMTA means something else here, or nothing: what `zonefleet import-config` goes by. */

import { whyWithoutMeaning } from "#shared/runtime/zonemta-keys.ts";

import { DKIM_RULES } from "./dkim-rules.ts";
import { INTERFACE_RULES } from "./interface-rules.ts";
import { PLUGIN_RULES } from "./plugin-rules.ts";
import type { Path, Rule } from "./rule.ts";
import { ZONE_RULES } from "./zone-rules.ts";

/** In this order: the later ones see what the earlier ones made. */
export const CHANGED_MEANING: readonly Rule[] = [
  ...INTERFACE_RULES,
  ...ZONE_RULES,
  ...PLUGIN_RULES,
  ...DKIM_RULES,
];

const NO_RULES_OF_THEIRS =
  "the two last rules of ZoneMTA's file match every reply, so nothing would be left for the built-in rules; take over only lines of your own (docs/coming-from-zonemta.md)";

/** Null: the key is carried over, as far as the schema takes it. */
export function meaningless(path: Path): string | null {
  if (path.length === 1 && path[0] === "bouncesFile") return NO_RULES_OF_THEIRS;
  return whyWithoutMeaning(path);
}
