/**
 * `npm run bench -- rest`: what a deployment costs in a month without a single mail, counted in the templates that the CDK app makes
 * of the record and the configuration, at the list prices of prices-at-rest.json. What a mail costs is cost.ts's.
 */

import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { COUNTS, FLEET_GAUGES, ZONE_COUNTS, ZONE_GAUGES } from "#shared/runtime/cloudwatch.ts";
import prices from "./prices-at-rest.json" with { type: "json" };

const ROOT = join(import.meta.dirname, "..");
const SYNTH_MS = 180_000;
const HOURS = 730;
const SECONDS = HOURS * 3_600;
/** A receive that brings nothing lasts so long, and a waiting take looks at the indexes every so often. */
const POLL_SECONDS = 20;
const LOOK_SECONDS = 15;
/** Queries of one look: the shards of two indexes, half a unit each when they find nothing. */
const UNITS_PER_LOOK = 4;
/** What a Lambda with nothing to do takes, and has. */
const IDLE_LAMBDA = { gb: 0.5, seconds: 0.1 };

interface Resource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
}

export interface RestLine {
  readonly what: string;
  readonly count: number;
  readonly dollars: number;
}

export async function costAtRest(): Promise<{ lines: RestLine[]; date: string; region: string }> {
  const resources = await synthesised();
  return { lines: linesOf(resources), date: prices.date, region: prices.region };
}

async function synthesised(): Promise<Resource[]> {
  const out = await mkdtemp(join(tmpdir(), "zonefleet-rest-"));
  try {
    const cdk = join(ROOT, "node_modules", ".bin", "cdk");
    await promisify(execFile)(cdk, ["synth", "--quiet", "--output", out], { cwd: ROOT, timeout: SYNTH_MS });
    const files = (await readdir(out)).filter((name) => name.endsWith(".template.json"));
    const templates = await Promise.all(files.map((name) => readFile(join(out, name), "utf8")));
    return templates.flatMap((text) =>
      Object.values((JSON.parse(text) as { Resources: Record<string, Resource> }).Resources),
    );
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

export function linesOf(resources: readonly Resource[]): RestLine[] {
  const of = (type: string) => resources.filter(({ Type }) => Type === type);
  const hosts = hostsOf(of("AWS::AutoScaling::AutoScalingGroup"));
  const { type, diskGb } = hostKind(of("AWS::EC2::LaunchTemplate"));
  const balancers = of("AWS::ElasticLoadBalancingV2::LoadBalancer").length;
  const subnets = of("AWS::EC2::Subnet").length || 1;
  const queues = of("AWS::SQS::Queue").filter(({ Properties }) => Properties?.["RedrivePolicy"]).length;
  const schedules = of("AWS::Events::Rule").length;
  const line = (what: string, count: number, each: number) => ({ what, count, dollars: count * each });
  const ipv4 = prices.publicIpv4Hour * HOURS;
  const lambda =
    prices.lambdaInvocationsPerMillion / 1e6 + IDLE_LAMBDA.gb * IDLE_LAMBDA.seconds * prices.lambdaGbSecond;
  return [
    line(`hosts (${type})`, hosts, instanceHour(type) * HOURS),
    line("their detailed monitoring", hosts, prices.detailedMonitoringMonth),
    line(`their disks (${diskGb} GiB)`, hosts, diskGb * prices.diskGbMonth),
    line("their own public addresses", hosts, ipv4),
    line("Elastic IPs", of("AWS::EC2::EIP").length, ipv4),
    line("load balancer for SMTP", balancers, prices.loadBalancerHour * HOURS),
    line("its public addresses", balancers * subnets, ipv4),
    line("secrets", of("AWS::SecretsManager::Secret").length, prices.secretMonth),
    line("KMS keys", of("AWS::KMS::Key").length, prices.kmsKeyMonth),
    line("metrics in alarms", metricsInAlarms(of("AWS::CloudWatch::Alarm")), prices.alarmMetricMonth),
    line("metrics of our own, at most", ownMetrics(queues), prices.customMetricMonth),
    line("dashboards", of("AWS::CloudWatch::Dashboard").length, prices.dashboardMonth),
    line(
      "empty polls of queues",
      (queues * hosts * SECONDS) / POLL_SECONDS,
      prices.queueReceivesPerMillion / 1e6,
    ),
    line(
      "looks at the table, in units",
      (queues * hosts * SECONDS * UNITS_PER_LOOK) / LOOK_SECONDS,
      prices.tableReadUnitsPerMillion / 1e6,
    ),
    line("runs of Lambdas each minute", (schedules * SECONDS) / 60, lambda),
  ].filter(({ count }) => count > 0);
}

function hostsOf(groups: readonly Resource[]): number {
  return groups.reduce((sum, { Properties }) => sum + Number(Properties?.["MinSize"] ?? 0), 0);
}

interface LaunchData {
  readonly InstanceType: string;
  readonly BlockDeviceMappings: readonly { readonly Ebs: { readonly VolumeSize: number } }[];
}

function hostKind([template]: readonly Resource[]): { type: string; diskGb: number } {
  const data = template?.Properties?.["LaunchTemplateData"] as LaunchData | undefined;
  if (data === undefined) throw new Error("the templates have no hosts");
  return { type: data.InstanceType, diskGb: data.BlockDeviceMappings[0]?.Ebs.VolumeSize ?? 0 };
}

function instanceHour(type: string): number {
  const price = (prices.instanceHour as Readonly<Record<string, number>>)[type];
  if (price === undefined) throw new Error(`bench/prices-at-rest.json has no price of ${type}`);
  return price;
}

/** An alarm on an expression is paid by the metrics in it. */
function metricsInAlarms(alarms: readonly Resource[]): number {
  return alarms.reduce((sum, { Properties }) => {
    const metrics = (Properties?.["Metrics"] ?? []) as readonly { MetricStat?: unknown }[];
    return sum + Math.max(1, metrics.filter(({ MetricStat }) => MetricStat !== undefined).length);
  }, 0);
}

function ownMetrics(zones: number): number {
  const ofZone = ZONE_COUNTS.length + ZONE_GAUGES.length;
  return zones * ofZone + ZONE_COUNTS.length + FLEET_GAUGES.length + COUNTS.length;
}
