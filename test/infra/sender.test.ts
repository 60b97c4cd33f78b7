/** What an operator relies on in the sender stack. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Match } from "aws-cdk-lib/assertions";
import type { Template } from "aws-cdk-lib/assertions";

import { templates } from "../support/stacks.ts";
import { ofType, onlyOne, resourcesIn } from "../support/template-resources.ts";

const SMTP = {
  host: "0.0.0.0",
  port: 587,
  authentication: true,
  allowInsecureAuth: true,
  useProxy: ["10.25.0.0/16"],
};
const CONFIG = {
  smtpInterfaces: { submission: SMTP },
  pools: { main: [{ address: "elastic", name: "m1.example.com" }] },
  zones: { bulk: { pool: "main" } },
};
const { sender } = await templates({ config: CONFIG });

describe("the hosts", () => {
  test("have encrypted disks, metadata only by token, and no key for SSH", () => {
    const data = onlyOne(sender, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"];
    assert.equal(data.MetadataOptions.HttpTokens, "required");
    assert.equal(
      data.MetadataOptions.HttpPutResponseHopLimit,
      1,
      "for the host itself, and nothing behind it",
    );
    assert.equal(data.KeyName, undefined);
    for (const { Ebs } of data.BlockDeviceMappings)
      assert.deepEqual([Ebs.Encrypted, Ebs.VolumeType], [true, "gp3"]);
  });

  test("are of the instance type in the record, with a system for its processor", async () => {
    for (const [instanceType, processor] of [
      ["c7g.large", "arm64"],
      ["c7i.large", "x86_64"],
    ] as const) {
      const made = await templates({ config: CONFIG, deployment: { senders: { instanceType } } });
      const { InstanceType, ImageId } = onlyOne(made.sender, "AWS::EC2::LaunchTemplate")[
        "LaunchTemplateData"
      ];
      assert.equal(InstanceType, instanceType);
      const { Default } = made.sender.toJSON()["Parameters"][ImageId.Ref];
      assert.match(Default, new RegExp(`al2023-ami-.*-${processor}$`));
    }
  });

  test("let in SMTP from the load balancer, and nothing else", () => {
    const ingress = ofType(sender, "AWS::EC2::SecurityGroupIngress").map(({ Properties }) => Properties);
    const [group] = onlyOne(sender, "AWS::ElasticLoadBalancingV2::LoadBalancer")["SecurityGroups"];
    assert.deepEqual(
      ingress.map(({ FromPort, ToPort, SourceSecurityGroupId }) => [FromPort, ToPort, SourceSecurityGroupId]),
      [[587, 587, group]],
    );
    const open = ofType(sender, "AWS::EC2::SecurityGroup").flatMap(
      ({ Properties }) => Properties["SecurityGroupIngress"] ?? [],
    );
    assert.deepEqual(
      open.map(({ FromPort }) => FromPort),
      [587],
    );
  });

  test("have time to drain before they end, and are replaced one by one when a new one has said that it runs", () => {
    sender.hasResourceProperties("AWS::AutoScaling::LifecycleHook", {
      LifecycleTransition: "autoscaling:EC2_INSTANCE_TERMINATING",
      HeartbeatTimeout: 300,
      DefaultResult: "CONTINUE",
    });
    const { MaxBatchSize, MinInstancesInService, WaitOnResourceSignals } = rollingUpdate(sender);
    assert.deepEqual([MaxBatchSize, MinInstancesInService, WaitOnResourceSignals], [1, 2, true]);
  });

  test("that are at their most already are replaced with one less meanwhile: AWS refuses all else", async () => {
    for (const [count, left] of [
      [1, 0],
      [3, 2],
    ]) {
      const made = await templates({ config: CONFIG, deployment: { senders: { min: count, max: count } } });
      assert.equal(rollingUpdate(made.sender)["MinInstancesInService"], left);
    }
  });

  test("that take no SMTP connections for long are replaced; without a load balancer AWS looks at the instance alone", async () => {
    sender.hasResourceProperties("AWS::AutoScaling::AutoScalingGroup", {
      HealthCheckType: Match.stringLikeRegexp("ELB"),
    });
    const { sender: closed } = await templates();
    closed.hasResourceProperties("AWS::AutoScaling::AutoScalingGroup", { HealthCheckType: "EC2" });
    closed.resourceCountIs("AWS::ElasticLoadBalancingV2::LoadBalancer", 0);
  });

  test("get their bundle, their settings and the boot script, and nothing from elsewhere", () => {
    const script = JSON.stringify(onlyOne(sender, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"].UserData);
    for (const said of [
      "ZONEFLEET_TABLE=zonefleet-test",
      "ZONEFLEET_SECRET=zonefleet-test",
      "AWS_REGION=eu-central-1",
    ])
      assert.ok(script.includes(said), said);
    assert.doesNotMatch(script, /npm|git |https?:\/\//);
    assert.ok(script.length < 16_384, "AWS takes no more");
  });
});

describe("the load balancer", () => {
  test("tells by a PROXY header who the client is, on connections of its own", () => {
    const attributes = new Map(
      onlyOne(sender, "AWS::ElasticLoadBalancingV2::TargetGroup")["TargetGroupAttributes"].map(
        ({ Key, Value }: { Key: string; Value: string }) => [Key, Value],
      ),
    );
    assert.equal(attributes.get("proxy_protocol_v2.enabled"), "true");
    assert.equal(attributes.get("preserve_client_ip.enabled"), "false");
    assert.ok(
      Number(attributes.get("deregistration_delay.timeout_seconds")) < 300,
      "within the time to drain",
    );
  });

  test("leads to no interface that would take its header for the client's first words", async () => {
    for (const useProxy of [false, ["10.26.0.0/16"]])
      await assert.rejects(templates({ config: { smtpInterfaces: { submission: { ...SMTP, useProxy } } } }), {
        name: "DomainError", // which the app prints without a stack trace
        message: /smtpInterfaces\.submission .*useProxy to \["10\.25\.0\.0\/16"\]/,
      });
  });

  test("has no tags where CloudFormation's own description of a resource knows none", () => {
    for (const { Properties } of ofType(sender, "AWS::ElasticLoadBalancingV2::Listener"))
      assert.equal(Properties["Tags"], undefined);
  });

  test("lets in whom the record names", async () => {
    const made = await templates({ config: CONFIG, deployment: { smtpClients: ["192.0.2.0/24"] } });
    const [group] = ofType(made.sender, "AWS::EC2::SecurityGroup").filter(
      ({ Properties }) => Properties["SecurityGroupIngress"],
    );
    assert.deepEqual(
      group?.Properties["SecurityGroupIngress"].map(({ CidrIp }: { CidrIp: string }) => CidrIp),
      ["192.0.2.0/24"],
    );
  });
});

describe("the network", () => {
  test("has no NAT, and reaches S3 and DynamoDB through gateways", () => {
    sender.resourceCountIs("AWS::EC2::NatGateway", 0);
    const endpoints = ofType(sender, "AWS::EC2::VPCEndpoint").map(({ Properties }) =>
      JSON.stringify(Properties["ServiceName"]),
    );
    assert.equal(endpoints.length, 2);
    for (const service of ["s3", "dynamodb"])
      assert.ok(
        endpoints.some((name) => name.includes(`.${service}`)),
        service,
      );
  });

  test("may be one that is there already, whose gateways are added and of which nothing else is made", async () => {
    const vpc = {
      id: "vpc-0a1b2c3d",
      cidr: "172.16.0.0/16",
      availabilityZones: ["eu-central-1a", "eu-central-1b"],
      publicSubnetIds: ["subnet-0a1b2c3d", "subnet-0b1b2c3d"],
      publicRouteTableIds: ["rtb-0a1b2c3d"],
    };
    const smtpInterfaces = { submission: { ...SMTP, useProxy: ["172.16.0.0/16"] } };
    const made = await templates({ config: { ...CONFIG, smtpInterfaces }, deployment: { vpc } });
    const types = new Set([...resourcesIn(made.sender).values()].map(({ Type }) => Type));
    for (const type of ["VPC", "Subnet", "RouteTable", "InternetGateway"])
      assert.ok(!types.has(`AWS::EC2::${type}`), type);
    made.sender.hasResourceProperties("AWS::AutoScaling::AutoScalingGroup", {
      VPCZoneIdentifier: ["subnet-0a1b2c3d", "subnet-0b1b2c3d"],
    });
    made.sender.resourceCountIs("AWS::EC2::VPCEndpoint", 2);

    const { publicRouteTableIds: _, ...withGateways } = vpc;
    const other = { config: { ...CONFIG, smtpInterfaces }, deployment: { vpc: withGateways } };
    (await templates(other)).sender.resourceCountIs("AWS::EC2::VPCEndpoint", 0);
  });
});

test("Elastic IPs outlive the stack, one for each name in a pool", () => {
  const addresses = ofType(sender, "AWS::EC2::EIP");
  assert.equal(addresses.length, 1);
  for (const { DeletionPolicy, UpdateReplacePolicy } of addresses)
    assert.deepEqual([DeletionPolicy, UpdateReplacePolicy], ["RetainExceptOnCreate", "Retain"]);
});

function rollingUpdate(template: Template): Readonly<Record<string, unknown>> {
  const [group] = ofType(template, "AWS::AutoScaling::AutoScalingGroup");
  return group?.UpdatePolicy?.["AutoScalingRollingUpdate"] ?? {};
}
