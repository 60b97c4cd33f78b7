/** Housekeeping of the queue, and what stands in it as metrics, every minute. */

import withMiddleware from "@middy/core";

import { elasticNames } from "#shared/domain/pool.ts";

import { fleetState } from "../fleet-state.ts";
import { background } from "../middleware/background.ts";
import { sweepHandler } from "../sweep.ts";
import { wireLambda } from "../wire.ts";

const { backend, clock, config, telemetry } = await wireLambda("sweep", import.meta.url);
const { queue, fleet, limits } = backend;
const elastic = elasticNames([...config.zones.values()].map(({ pool }) => pool));
const tellState = fleetState({ queue, fleet, limits, elastic, clock, telemetry });

export const handler = withMiddleware(sweepHandler({ queue, telemetry, tellState })).use(
  background(telemetry),
);
