/** The table's stream of changes: new mail is signalled, and bounces are reported. */

import withMiddleware from "@middy/core";

import { eventsHandler } from "../events.ts";
import { background } from "../middleware/background.ts";
import { reporting } from "../reporting.ts";
import { eventsOf, wireLambda } from "../wire.ts";

const wired = await wireLambda("events", import.meta.url);
const { backend, telemetry } = wired;
const signal = backend.queue.signalStreamed;

export const handler = withMiddleware(eventsHandler({ ...reporting(wired), eventsOf, signal })).use(
  background(telemetry),
);
