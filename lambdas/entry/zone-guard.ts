/** Called by CloudFormation when the zones of a deployment change. */

import withMiddleware from "@middy/core";

import { background } from "../middleware/background.ts";
import { wireLambda } from "../wire.ts";
import { answerByHttp, zoneGuardHandler } from "../zone-guard.ts";

const { backend, telemetry } = await wireLambda("zone-guard", import.meta.url);

export const handler = withMiddleware(
  zoneGuardHandler({ queue: backend.queue, answer: answerByHttp, log: telemetry.log }),
).use(background(telemetry));
