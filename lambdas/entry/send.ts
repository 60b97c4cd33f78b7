/** `POST /send`, `/send-raw` and `/uploads`. */

import { apiEntry } from "../api-entry.ts";
import { MAX_LAMBDA_BODY } from "../http.ts";
import { lambdaPlugins } from "../plugins.ts";
import { sendHandlers } from "../send.ts";
import { secretOf } from "../secret/wire.ts";
import { lazySenders } from "../senders.ts";
import { lambdaSubmit } from "../submit.ts";
import { wireLambda } from "../wire.ts";

const wired = await wireLambda("send", import.meta.url, { secret: secretOf(process.env) });

export const handler = apiEntry(
  sendHandlers({
    ...wired.endpoints,
    ...wired,
    submit: lambdaSubmit(wired, await lambdaPlugins(wired)),
    senders: lazySenders(wired),
    maxBodyBytes: MAX_LAMBDA_BODY,
  }),
  wired,
);
