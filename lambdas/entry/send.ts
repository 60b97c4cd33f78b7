/** `POST /send`, `/send-raw` and `/uploads`, `/dkim`, and what plugins serve: they are in this bundle. */

import { apiEntry } from "../api-entry.ts";
import { dkimHandlers } from "../dkim.ts";
import { MAX_LAMBDA_BODY } from "../http.ts";
import { pluginRoutes } from "../plugin-routes.ts";
import { lambdaPlugins } from "../plugins.ts";
import { sendHandlers } from "../send.ts";
import { secretOf } from "../secret/wire.ts";
import { lazySenders } from "../senders.ts";
import { lambdaSubmit } from "../submit.ts";
import { wireLambda } from "../wire.ts";

const wired = await wireLambda("send", import.meta.url, { secret: secretOf(process.env) });
const plugins = await lambdaPlugins(wired);
const routes = plugins?.registry.routes ?? [];

export const handler = apiEntry(
  {
    ...sendHandlers({
      ...wired.endpoints,
      ...wired,
      submit: lambdaSubmit(wired, plugins),
      senders: lazySenders(wired),
      maxBodyBytes: MAX_LAMBDA_BODY,
    }),
    ...dkimHandlers(wired.endpoints, { secrets: wired.backend.secrets, dkim: wired.config.dkim }),
  },
  { ...wired, pluginRoutes: routes.length > 0 ? pluginRoutes(wired.endpoints, routes) : null },
);
