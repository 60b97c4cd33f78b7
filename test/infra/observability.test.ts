/** What wakes an operator, and that it can: alarms look at what is really written, and somebody is told. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { promisify } from "node:util";

import { Match } from "aws-cdk-lib/assertions";

import { COUNTS, FLEET_GAUGES, ZONE_COUNTS, ZONE_GAUGES } from "#shared/runtime/cloudwatch.ts";
import { createLog } from "#shared/runtime/log.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import { minuteMetrics } from "../../sender/minute-metrics.ts";
import { attempt, message, queueRow } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";
import { metricLinesIn } from "../support/metric-lines.ts";
import type { MetricLine } from "../support/metric-lines.ts";
import { templates } from "../support/stacks.ts";
import type { Templates } from "../support/stacks.ts";

interface SeenMetric {
  readonly Namespace: string;
  readonly MetricName: string;
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: unknown }[];
}

interface AlarmProperties extends Partial<SeenMetric> {
  readonly AlarmName: string;
  readonly AlarmDescription: string;
  readonly AlarmActions: readonly unknown[];
  readonly OKActions: readonly unknown[];
  readonly Threshold: number;
  readonly TreatMissingData: string;
  readonly Metrics?: readonly {
    readonly Id: string;
    readonly Expression?: string;
    readonly MetricStat?: { readonly Metric: SeenMetric };
  }[];
}

interface DashboardProperties {
  readonly DashboardBody: { readonly "Fn::Join": readonly [string, readonly unknown[]] };
}

interface Resource {
  readonly Type: string;
  readonly Properties: unknown;
}

const INSTALLATION = "zonefleet-test";
const ELASTIC = { address: "elastic", name: "m1.example.com" };
const CONFIG = {
  pools: { main: [ELASTIC] },
  zones: { news: { pool: "main" }, slow: { throttling: "100/minute" }, off: { disabled: true } },
  webhooks: [{ url: "https://hooks.example.com/mail" }],
};
const made = await templates({ config: CONFIG });
const alarms = alarmsIn(made);

function resources({ observability }: Templates): Map<string, Resource> {
  return new Map(Object.entries(observability.toJSON()["Resources"] as Record<string, Resource>));
}

function alarmsIn(stacks: Templates): Map<string, AlarmProperties> {
  const found = [...resources(stacks).values()].filter(({ Type }) => Type === "AWS::CloudWatch::Alarm");
  const properties = found.map(({ Properties }) => Properties as AlarmProperties);
  return new Map(properties.map((one) => [one.AlarmName.slice(INSTALLATION.length + 1), one]));
}

function alarm(name: string): AlarmProperties {
  const found = alarms.get(name);
  assert.ok(found, `there is no alarm ${name}`);
  return found;
}

function metricsOf({ Metrics = [], ...single }: AlarmProperties): SeenMetric[] {
  const stats = Metrics.flatMap(({ MetricStat }) => (MetricStat ? [MetricStat.Metric] : []));
  return single.MetricName === undefined ? stats : [single as SeenMetric];
}

/** The metric math of an alarm with these values in place of its metrics, as far as we use it. */
function evaluated({ Metrics = [] }: AlarmProperties, values: Readonly<Record<string, number>>): number {
  const expression = Metrics.find(({ Expression }) => Expression !== undefined)?.Expression ?? "";
  const words = { IF: (is: boolean, one: number, other: number) => (is ? one : other) };
  const given = { ...words, FILL: (value: number) => value, ...values };
  const code = expression.replaceAll(" AND ", " && ");
  // oxlint-disable-next-line typescript/no-implied-eval -- of our own template
  const run = new Function(...Object.keys(given), `return ${code};`) as (...all: unknown[]) => number;
  return run(...Object.values(given));
}

describe("each zone", () => {
  const kinds = ["mail waits", "dead letters", "bounces", "deferrals"];

  test("has its alarms, and one that is disabled has none for mail that waits", () => {
    const zones = ["news", "slow", "default", "bounces"].flatMap((zone) =>
      kinds.map((kind) => `zone ${zone} ${kind}`),
    );
    const off = kinds.slice(1).map((kind) => `zone off ${kind}`);
    const found = [...alarms.keys()].filter((name) => name.startsWith("zone "));
    assert.deepEqual(found.toSorted(), [...zones, ...off].toSorted());
  });

  test("that has a throttle may take longer", () => {
    assert.ok(alarm("zone slow mail waits").Threshold > alarm("zone news mail waits").Threshold);
  });

  test("is told of by its share of bounces and deferrals, when there is enough mail to tell", () => {
    const bounces = alarm("zone news bounces");
    const share = (bounced: number, delivered: number): number => evaluated(bounces, { bounced, delivered });
    assert.equal(share(99, 0), 0);
    assert.ok(share(5, 95) >= bounces.Threshold);
    assert.ok(share(4, 96) < bounces.Threshold);
    const deferrals = alarm("zone news deferrals");
    const others = { bounced: 0, expired: 0 };
    assert.equal(evaluated(deferrals, { ...others, deferred: 99, delivered: 0 }), 0);
    assert.ok(evaluated(deferrals, { ...others, deferred: 60, delivered: 60 }) >= deferrals.Threshold);
    assert.ok(evaluated(deferrals, { ...others, deferred: 59, delivered: 61 }) < deferrals.Threshold);
  });

  test("more in the configuration adds its alarms, and nothing else changes", async () => {
    const more = await templates({ config: { ...CONFIG, zones: { ...CONFIG.zones, extra: {} } } });
    const [before, now] = [resources(made), resources(more)];
    const changed = [...before].filter(([id, old]) => JSON.stringify(now.get(id)) !== JSON.stringify(old));
    assert.deepEqual(changed, []);
    const added = [...now].filter(([id]) => !before.has(id)).map(([, { Properties }]) => Properties);
    assert.deepEqual(
      added.map((one) => (one as AlarmProperties).AlarmName),
      kinds.map((kind) => `${INSTALLATION} zone extra ${kind}`),
    );
  });
});

describe("every alarm", () => {
  test("tells somebody when it goes off and when it is over", () => {
    const topics = [...resources(made)].filter(([, { Type }]) => Type === "AWS::SNS::Topic");
    const action = { Ref: topics[0]?.[0] };
    for (const [name, { AlarmActions, OKActions }] of alarms)
      assert.deepEqual([AlarmActions, OKActions], [[action], [action]], name);
  });

  test("says what to do, and where more about it is written", async () => {
    const page = await readFile(new URL("../../docs/monitoring.md", import.meta.url), "utf8");
    const headings = page.split("\n").filter((line) => line.startsWith("#"));
    const anchors = new Set(
      headings.map((line) => line.replace(/^#+ /, "").toLowerCase().replaceAll(" ", "-")),
    );
    for (const [name, { AlarmDescription }] of alarms) {
      const anchor = /docs\/monitoring\.md#([a-z-]+)$/.exec(AlarmDescription)?.[1] ?? "";
      assert.ok(anchors.has(anchor), `${name}: #${anchor}`);
      assert.ok(AlarmDescription.length <= 1_024, "CloudWatch takes no more");
    }
  });

  test("that looks at what the sweep writes each minute goes off when that stays out, and no other does", () => {
    const loud = [...alarms].filter(([, { TreatMissingData }]) => TreatMissingData === "breaching");
    assert.deepEqual(
      loud.map(([name]) => name).toSorted(),
      [
        "addresses are not held",
        "senders are missing",
        ...["bounces", "default", "news", "slow"].map((zone) => `zone ${zone} mail waits`),
      ].toSorted(),
    );
    for (const [name, { TreatMissingData }] of alarms)
      assert.match(TreatMissingData, /^(breaching|notBreaching)$/, name);
  });
});

describe("what is looked at", () => {
  test("is what the sweep and the senders write, under the same names and dimensions", async () => {
    const written = new Set([...(await writtenBySweep()), ...writtenBySender()].flatMap(namesIn));
    for (const name of [...ZONE_COUNTS, ...ZONE_GAUGES])
      assert.ok(written.has(`${name} of Installation, Zone`), name);
    for (const name of FLEET_GAUGES) assert.ok(written.has(`${name} of Installation`), name);
    const seen = [...alarms.values()].flatMap(metricsOf).filter(({ Namespace }) => Namespace === "ZoneFleet");
    assert.ok(seen.length > 0);
    for (const { MetricName, Dimensions = [] } of seen) {
      const names = Dimensions.map(({ Name }) => Name).toSorted();
      assert.equal(Dimensions.find(({ Name }) => Name === "Installation")?.Value, INSTALLATION);
      if (names.includes("service"))
        assert.ok((COUNTS as readonly string[]).includes(MetricName), MetricName);
      else
        assert.ok(
          written.has(`${MetricName} of ${names.join(", ")}`),
          `${MetricName} of ${names.join(", ")}`,
        );
    }
    assert.ok(written.has("RowsFed of Installation, service"), "as Lambdas count");
    assert.ok(written.has("MessagesNotStored of Installation, service"), "as senders count");
  });

  test("on the dashboard has the names that are written", () => {
    const [dashboard] = Object.values(made.observability.findResources("AWS::CloudWatch::Dashboard"));
    assert.ok(dashboard);
    const { DashboardBody } = dashboard["Properties"] as DashboardProperties;
    const parts = DashboardBody["Fn::Join"][1];
    const body = parts.map((part) => (typeof part === "string" ? part : "x")).join("");
    assert.ok((JSON.parse(body) as { widgets: unknown[] }).widgets.length > 15);
    const searched = [...body.matchAll(/\{ZoneFleet,[^}]*\} MetricName=\\+"([A-Za-z]+)\\+"/g)].map(
      ([, name]) => name,
    );
    const direct = [...body.matchAll(/\["ZoneFleet","([A-Za-z]+)"/g)].map(([, name]) => name);
    assert.ok(searched.length > 5 && direct.length > 5);
    const known: readonly string[] = [...ZONE_COUNTS, ...ZONE_GAUGES, ...FLEET_GAUGES, ...COUNTS];
    for (const name of [...searched, ...direct]) assert.ok(known.includes(name ?? ""), name);
  });

  test("is every Lambda that runs: its errors, its throttles, and how far readers of the stream are behind", () => {
    const functions = made.api.findResources("AWS::Lambda::Function");
    const names = Object.values(functions).map((one) =>
      String((one["Properties"] as { FunctionName?: unknown }).FunctionName).slice(INSTALLATION.length + 1),
    );
    assert.ok(names.includes("notify"));
    for (const name of names) {
      for (const what of ["fails", "is throttled"]) {
        const [metric] = metricsOf(alarm(`Lambda ${name} ${what}`));
        assert.deepEqual(metric?.Dimensions, [{ Name: "FunctionName", Value: `${INSTALLATION}-${name}` }]);
      }
    }
    for (const reader of ["events", "notify"]) assert.ok(alarm(`Lambda ${reader} is behind`));
  });

  test("is a queue of dead letters by the name that the storage stack gives it", () => {
    const queues = Object.values(made.storage.findResources("AWS::SQS::Queue"));
    const names = queues.map((one) => (one["Properties"] as { QueueName: unknown }).QueueName);
    const [metric] = metricsOf(alarm("zone news dead letters"));
    assert.ok(names.includes(metric?.Dimensions?.[0]?.Value));
    const [failures] = metricsOf(alarm("changes were given up"));
    made.api.hasResourceProperties("AWS::SQS::Queue", { QueueName: failures?.Dimensions?.[0]?.Value });
  });
});

describe("the fleet", () => {
  test("is missed below the hosts that the record asks for", async () => {
    const deployment = { senders: { min: 3, max: 6 } };
    const asked = alarmsIn(await templates({ config: CONFIG, deployment })).get("senders are missing");
    assert.equal(asked?.Threshold, 3);
  });

  test("delivers nothing when mail waits and none goes, and does so too when no line of senders comes", () => {
    const nothing = alarm("nothing is delivered");
    assert.equal(evaluated(nothing, { waiting: 1, delivered: 0 }), 1);
    assert.equal(evaluated(nothing, { waiting: 1, delivered: 1 }), 0);
    assert.equal(evaluated(nothing, { waiting: 0, delivered: 0 }), 0);
  });

  test("has an alarm for addresses only where it has addresses", async () => {
    assert.equal(evaluated(alarm("addresses are not held"), { wanted: 2, held: 1 }), 1);
    assert.ok(!alarmsIn(await templates()).has("addresses are not held"));
  });
});

test("alarms write to the address of the record, over TLS, by a topic with a key that CloudWatch may use", () => {
  const { observability } = made;
  observability.hasResourceProperties("AWS::SNS::Subscription", {
    Protocol: "email",
    Endpoint: "postmaster@example.com",
  });
  observability.hasResourceProperties("AWS::SNS::Topic", { KmsMasterKeyId: Match.anyValue() });
  const cloudWatch = { Effect: "Allow", Principal: { Service: "cloudwatch.amazonaws.com" } };
  observability.hasResourceProperties("AWS::KMS::Key", {
    EnableKeyRotation: true,
    KeyPolicy: {
      Statement: Match.arrayWith([
        Match.objectLike({ ...cloudWatch, Action: ["kms:Decrypt", "kms:GenerateDataKey*"] }),
      ]),
    },
  });
  observability.hasResourceProperties("AWS::SNS::TopicPolicy", {
    PolicyDocument: {
      Statement: Match.arrayWith([
        Match.objectLike({ Effect: "Deny", Condition: { Bool: { "aws:SecureTransport": "false" } } }),
        Match.objectLike({ ...cloudWatch, Action: "sns:Publish" }),
      ]),
    },
  });
});

test("a stage for LocalStack has no alarms, as it has nothing that they could look at", async () => {
  assert.equal((await templates({ isLocal: true })).observability, undefined);
});

function namesIn({ dimensions, values }: MetricLine): string[] {
  const sets = dimensions.map((set) => Object.keys(set).toSorted().join(", "));
  return Object.keys(values).flatMap((name) => sets.map((set) => `${name} of ${set}`));
}

/** In a process of its own, as a Lambda writes to the output of its process. */
async function writtenBySweep(): Promise<MetricLine[]> {
  const module = (name: string): string =>
    JSON.stringify(new URL(`../../lambdas/${name}.ts`, import.meta.url).href);
  const script = `
    import { fleetState } from ${module("fleet-state")};
    import { sweepHandler } from ${module("sweep")};
    import { telemetry as telemetryOf } from ${module("telemetry")};
    const telemetry = telemetryOf("sweep", "${INSTALLATION}");
    const clock = { now: () => 1767323045000 };
    const queue = {
      backlog: async () => [{ zone: "news", queued: 1, deferred: 2, held: 3, oldestDueAt: 1767323000000 }],
      sweep: async () => ({ fed: 0, lapsed: 0, purged: 0 }),
    };
    const fleet = { living: async () => [], addressLeases: async () => [] };
    const limits = { blocked: async () => [] };
    const tellState = fleetState({ queue, fleet, limits, disabled: new Set(), elastic: [], clock, telemetry });
    await sweepHandler({ queue, telemetry, tellState })({}, { getRemainingTimeInMillis: () => 60000 });
    telemetry.publish();`;
  const args = ["--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: {}, timeout: 20_000 });
  return metricLinesIn(stdout);
}

function writtenBySender(): MetricLine[] {
  const lines: MetricLine[] = [];
  const log = createLog({ level: "info" }, { write: (line) => void lines.push(...metricLinesIn(line)) });
  const minutes = minuteMetrics({ installation: INSTALLATION, clock: fakeClock(), log });
  const mail = message();
  minutes.observer.settled(
    queueRow(mail, 1, { zone: "news" as ZoneName }),
    attempt(),
    { state: "delivered" },
    mail,
  );
  minutes.observer.notAccepted(new Error("the table is down"));
  minutes[Symbol.dispose]();
  return lines;
}
