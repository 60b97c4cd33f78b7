/** Every minute: receivers of events are told of what they have not taken before. */

import withMiddleware from "@middy/core";

import { httpPost } from "#shared/runtime/http-post.ts";

import { background } from "../middleware/background.ts";
import { notifyAgainHandler } from "../notify.ts";
import { secretOf } from "../secret/wire.ts";
import { wireLambda } from "../wire.ts";

const wired = await wireLambda("notify-again", import.meta.url, { secret: secretOf(process.env) });
const { backend, telemetry } = wired;
const receivers = async () => (await wired.wholeConfig()).receivers;

export const handler = withMiddleware(
  notifyAgainHandler({ ...wired, ...backend, receivers, post: httpPost() }),
).use(background(telemetry));
