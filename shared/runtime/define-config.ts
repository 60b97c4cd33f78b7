/** What a configuration file and plugins import, so that an editor knows the keys: `import { defineConfig } from "zonefleet"`. */

import type { ConfigInput } from "./config-schema.ts";

export type { PluginApp } from "../plugins/app.ts";
export type { DeliveryView, EnvelopeView, SessionView } from "../plugins/views.ts";
export type { ConfigInput } from "./config-schema.ts";

/** Gives back what it is given. `loadConfig` does all the checking, also for files that do not call this. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}
