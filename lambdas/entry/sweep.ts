/** Housekeeping of the queue, every minute. */

import withMiddleware from "@middy/core";

import { background } from "../middleware/background.ts";
import { sweepHandler } from "../sweep.ts";
import { wireLambda } from "../wire.ts";

const { backend, telemetry } = await wireLambda("sweep", import.meta.url);

export const handler = withMiddleware(sweepHandler({ queue: backend.queue, telemetry })).use(
  background(telemetry),
);
