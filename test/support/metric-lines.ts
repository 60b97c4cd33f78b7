/** Reads the lines that CloudWatch makes metrics of (its embedded metric format) as CloudWatch does: by what is said under `_aws`. */

import assert from "node:assert/strict";

export interface MetricLine {
  readonly at: number;
  readonly namespace: string;
  /** For each set of dimensions, their values. */
  readonly dimensions: readonly Readonly<Record<string, string>>[];
  readonly values: Readonly<Record<string, number>>;
  readonly units: Readonly<Record<string, string>>;
}

interface Told {
  readonly Namespace: string;
  readonly Dimensions: readonly (readonly string[])[];
  readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
}

export function readMetricLine(line: Readonly<Record<string, unknown>>): MetricLine {
  const { Timestamp, CloudWatchMetrics } = line["_aws"] as { Timestamp: number; CloudWatchMetrics: Told[] };
  const [told] = CloudWatchMetrics;
  assert.ok(told && CloudWatchMetrics.length === 1);
  const { Namespace, Dimensions, Metrics } = told;
  const valueOf = (name: string): unknown => {
    assert.ok(name in line, `${name} is named and not given`);
    return line[name];
  };
  return {
    at: Timestamp,
    namespace: Namespace,
    dimensions: Dimensions.map((set) => Object.fromEntries(set.map((name) => [name, String(valueOf(name))]))),
    values: Object.fromEntries(Metrics.map(({ Name }) => [Name, Number(valueOf(Name))])),
    units: Object.fromEntries(Metrics.map(({ Name, Unit }) => [Name, Unit])),
  };
}

/** The metric lines in what a process has written. */
export function metricLinesIn(text: string): MetricLine[] {
  const lines = text.split("\n").filter((line) => line.includes('"CloudWatchMetrics"'));
  return lines.map((line) => readMetricLine(JSON.parse(line) as Record<string, unknown>));
}
