/** Signals that nobody could use, from the dead-letter queues of all zones. */

import withMiddleware from "@middy/core";

import { deadLetterHandler } from "../dead-letter.ts";
import { background } from "../middleware/background.ts";
import { readSignal, wireLambda } from "../wire.ts";

const { backend, telemetry } = await wireLambda("dead-letter", import.meta.url);

export const handler = withMiddleware(deadLetterHandler({ queue: backend.queue, readSignal, telemetry })).use(
  background(telemetry),
);
