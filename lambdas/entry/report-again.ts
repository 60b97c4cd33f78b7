/** Every minute: reports that could not be made when the stream brought their events. */

import withMiddleware from "@middy/core";

import { reportAgainHandler } from "../events.ts";
import { background } from "../middleware/background.ts";
import { reporting } from "../reporting.ts";
import { wireLambda } from "../wire.ts";

const wired = await wireLambda("report-again", import.meta.url);

export const handler = withMiddleware(reportAgainHandler(reporting(wired))).use(background(wired.telemetry));
