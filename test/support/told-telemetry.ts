/** A Telemetry that remembers. */

import type { CountName } from "#shared/runtime/cloudwatch.ts";
import type { Telemetry } from "../../lambdas/telemetry.ts";

export interface ToldTelemetry extends Telemetry {
  readonly counts: Partial<Record<CountName, number>>;
  readonly lines: { level: string; message: string; fields: object }[];
  /** By zone; of the fleet under `*`. */
  readonly gauges: Map<string, Readonly<Record<string, number>>>;
  /** How often metrics were written. */
  readonly published: { times: number };
}

export function toldTelemetry(): ToldTelemetry {
  const counts: Partial<Record<CountName, number>> = {};
  const lines: ToldTelemetry["lines"] = [];
  const gauges: ToldTelemetry["gauges"] = new Map();
  const published = { times: 0 };
  const line = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields });
  return {
    counts,
    lines,
    gauges,
    published,
    begin: () => undefined,
    log: { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") },
    count: (name, by = 1) => {
      counts[name] = (counts[name] ?? 0) + by;
    },
    time: () => undefined,
    zoneGauges: (zone, _at, values) => void gauges.set(zone, values),
    fleetGauges: (_at, values) => void gauges.set("*", { ...gauges.get("*"), ...values }),
    publish: () => {
      published.times++;
    },
  };
}
