/** `/counter`, `/queued`, `/queue`, `/message`, `/fetch` and `/events`. */

import { apiEntry } from "../api-entry.ts";
import { MAX_LAMBDA_BODY } from "../http.ts";
import { queueHandlers } from "../queue.ts";
import { wireLambda } from "../wire.ts";

const wired = await wireLambda("queue", import.meta.url);

const { backend, config, endpoints } = wired;
const large = { links: backend.links, aboveBytes: MAX_LAMBDA_BODY };

export const handler = apiEntry(queueHandlers(endpoints, { ...backend, zones: config.zones, large }), wired);
