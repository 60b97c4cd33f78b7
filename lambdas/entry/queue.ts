/** `/counter`, `/queued`, `/queue`, `/message`, `/fetch` and `/events`. */

import { apiEntry } from "../api-entry.ts";
import { queueHandlers } from "../queue.ts";
import { wireLambda } from "../wire.ts";

const wired = await wireLambda("queue", import.meta.url);

export const handler = apiEntry(
  queueHandlers(wired.endpoints, { ...wired.backend, zones: wired.config.zones }),
  wired,
);
