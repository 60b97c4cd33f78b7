import assert from "node:assert/strict";
import { test } from "node:test";

import { linesOf } from "../../../bench/rest.ts";

const HOSTS = [
  { Type: "AWS::AutoScaling::AutoScalingGroup", Properties: { MinSize: "2" } },
  {
    Type: "AWS::EC2::LaunchTemplate",
    Properties: {
      LaunchTemplateData: { InstanceType: "c7g.medium", BlockDeviceMappings: [{ Ebs: { VolumeSize: 20 } }] },
    },
  },
];
const EIP = { Type: "AWS::EC2::EIP" };

function dollarsOf(resources: Parameters<typeof linesOf>[0], what: RegExp): string | undefined {
  return linesOf(resources)
    .find((line) => what.test(line.what))
    ?.dollars.toFixed(2);
}

test("what there is is paid for each, and what there is not is no line", () => {
  assert.equal(dollarsOf(HOSTS, /^hosts/), (2 * 0.0363 * 730).toFixed(2));
  assert.equal(dollarsOf([...HOSTS, EIP, EIP, EIP], /^Elastic IPs/), (3 * 0.005 * 730).toFixed(2));
  assert.equal(dollarsOf(HOSTS, /^load balancer/), undefined);
});

test("an alarm on an expression is paid by the metrics in it", () => {
  const plain = { Type: "AWS::CloudWatch::Alarm", Properties: { MetricName: "Deferred" } };
  const Metrics = [{ Expression: "a / b" }, { MetricStat: {} }, { MetricStat: {} }];
  const share = { Type: "AWS::CloudWatch::Alarm", Properties: { Metrics } };
  assert.equal(dollarsOf([...HOSTS, plain, share], /alarms/), "0.30");
});

test("an instance type without a price is named, and not guessed", () => {
  const [, template] = HOSTS;
  const other = structuredClone(template);
  Object.assign(other?.Properties?.["LaunchTemplateData"] ?? {}, { InstanceType: "x9z.huge" });
  assert.throws(
    () => linesOf([HOSTS[0], other].filter((each) => each !== undefined)),
    /no price of x9z\.huge/,
  );
});
