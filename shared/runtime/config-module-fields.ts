/** What is said of any plugin in the configuration: where it runs, in which order, and for how long. */

import * as z from "zod";

import type { PluginContext } from "../domain/config.ts";
import { PLUGIN_CONTEXTS } from "../domain/config.ts";
import { timeout } from "./config-fields.ts";

const contextName = z.enum([...PLUGIN_CONTEXTS, "*"]);

/** Where a plugin runs: in the contexts named, true or `*` for all, false for none. */
export const contexts = z
  .union([z.boolean(), contextName, z.array(contextName)])
  .transform((input): readonly PluginContext[] => {
    const named = Array.isArray(input) ? input : [input];
    if (named.includes(true) || named.includes("*")) return PLUGIN_CONTEXTS;
    return PLUGIN_CONTEXTS.filter((context) => named.includes(context));
  });

/** Of any plugin. Where the order does not matter it is taken and means nothing. */
export const ordering = z.number().optional();

/** What is said of any plugin that is a module. */
export const moduleFields = {
  enabled: contexts.default([]),
  /** Plugins with a lower number come first, those without one last. */
  ordering,
  /** True: when it cannot be loaded, the rest starts without it. */
  optional: z.boolean().default(false),
  /** Longest time for one of its hooks. */
  hookTimeout: timeout.optional(),
};
