/** `/zones`, `/blacklist`, `/slowed`, `/skipdomains` and `/internals`. */

import { apiEntry } from "../api-entry.ts";
import { wireLambda } from "../wire.ts";
import { zoneHandlers } from "../zones.ts";

const wired = await wireLambda("zones", import.meta.url);

export const handler = apiEntry(
  zoneHandlers(wired.endpoints, { ...wired.backend, zones: wired.config.zones }),
  wired,
);
