/** `/suppressionlist`. */

import { apiEntry } from "../api-entry.ts";
import { suppressionHandlers } from "../suppression.ts";
import { wireLambda } from "../wire.ts";

const wired = await wireLambda("suppression", import.meta.url);

export const handler = apiEntry(suppressionHandlers(wired.endpoints, wired.backend.suppressions), wired);
