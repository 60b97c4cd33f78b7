/** Housekeeping of the queue, and what stands in it as metrics, every minute. */

import withMiddleware from "@middy/core";

import { elasticNames } from "#shared/domain/pool.ts";

import { fleetState } from "../fleet-state.ts";
import { background } from "../middleware/background.ts";
import { sweepHandler } from "../sweep.ts";
import { wireLambda } from "../wire.ts";

const { backend, clock, config, telemetry } = await wireLambda("sweep", import.meta.url);
const { queue, fleet, limits } = backend;
const zones = [...config.zones.values()];
const elastic = elasticNames(zones.map(({ pool }) => pool));
const disabled = new Set(zones.filter((zone) => zone.disabled).map(({ name }) => name));
const tellState = fleetState({ queue, fleet, limits, disabled, elastic, clock, telemetry });

export const handler = withMiddleware(sweepHandler({ queue, telemetry, tellState })).use(
  background(telemetry),
);
