/** What `zonefleet import-config` makes of the configuration of a ZoneMTA, without files: for tests of its rules. */

import { printPath } from "#shared/runtime/config-errors.ts";

import { carryOver } from "../../cli/zonemta/carry-over.ts";
import type { Tree } from "../../cli/zonemta/tree.ts";

export interface Carried {
  readonly config: Tree;
  /** `path: why`, the keys that were changed before those that were left out. */
  readonly changed: readonly string[];
  readonly leftOut: readonly string[];
}

/** Of a ZoneMTA in /opt/zone-mta whose files have defaults of their own, unless it is said otherwise. */
export function carried(theirs: Tree, { hasDefaults = true } = {}): Carried {
  const { config, notes } = carryOver(theirs, { root: "/opt/zone-mta", hasDefaults });
  const of = (kind: string): string[] =>
    notes.filter((note) => note.kind === kind).map(({ path, why }) => `${printPath(path)}: ${why}`);
  return { config, changed: of("changed"), leftOut: of("left out") };
}
