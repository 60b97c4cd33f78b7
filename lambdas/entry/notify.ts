/** The table's stream of changes, read beside `events`: receivers of events are told. */

import withMiddleware from "@middy/core";

import { httpPost } from "#shared/runtime/http-post.ts";

import { background } from "../middleware/background.ts";
import { notifyHandler } from "../notify.ts";
import { secretOf } from "../secret/wire.ts";
import { eventsOf, wireLambda } from "../wire.ts";

const wired = await wireLambda("notify", import.meta.url, { secret: secretOf(process.env) });
const { backend, telemetry } = wired;
const receivers = async () => (await wired.wholeConfig()).receivers;

export const handler = withMiddleware(
  notifyHandler({ ...wired, ...backend, receivers, post: httpPost(), eventsOf }),
).use(background(telemetry));
