/** A rule of `zonefleet import-config`: it makes of keys of ZoneMTA what has the same effect here, and notes what it did. */

import type { Tree, Value } from "./tree.ts";
import { isTree } from "./tree.ts";

export type Path = readonly PropertyKey[];

export interface Note {
  readonly path: Path;
  readonly kind: "left out" | "changed";
  readonly why: string;
}

export interface RuleContext {
  /** The key is in the configuration, though not as it was; or it deserves a look. */
  readonly changed: (path: Path, why: string) => void;
  /** The key is not in the configuration any more. */
  readonly leftOut: (path: Path, why: string) => void;
  /** The folder where that ZoneMTA is started, which its relative paths start from. */
  readonly root: string;
  /** True: the files take the place of ZoneMTA's own defaults; else they are over those. */
  readonly hasDefaults: boolean;
}

/** Changes the configuration. */
export type Rule = (config: Tree, context: RuleContext) => void;

/** True: a plugin with these options runs. They may be where it runs, and nothing more. */
export function isOn(plugin: Value | undefined): boolean {
  const enabled = isTree(plugin) ? plugin["enabled"] : plugin;
  return enabled !== undefined && enabled !== false && enabled !== null;
}
