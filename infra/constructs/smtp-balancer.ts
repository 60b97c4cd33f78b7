/** The way in for SMTP: a network load balancer that passes connections on as they are, with a PROXY header that names the client. */

import { CfnOutput, Duration } from "aws-cdk-lib";
import type { AutoScalingGroup } from "aws-cdk-lib/aws-autoscaling";
import { Peer, Port, SecurityGroup, SubnetType } from "aws-cdk-lib/aws-ec2";
import type { IVpc } from "aws-cdk-lib/aws-ec2";
import { NetworkLoadBalancer, Protocol } from "aws-cdk-lib/aws-elasticloadbalancingv2";
import { Construct } from "constructs";

import { accept } from "../accepted-findings.ts";

export interface SmtpBalancerProps {
  readonly name: string;
  readonly vpc: IVpc;
  /** Those of the SMTP interfaces. */
  readonly ports: readonly number[];
  /** CIDR blocks of who may connect. */
  readonly clients: readonly string[];
  readonly hosts: AutoScalingGroup;
  readonly hostGroup: SecurityGroup;
  /** What clients call it. */
  readonly domain: string;
}

/** As long as a drain may take: a client that is in the middle of a mail ends it. */
const DEREGISTRATION = Duration.minutes(2);
const HEALTH_INTERVAL = Duration.seconds(10);

export class SmtpBalancer extends Construct {
  readonly balancer: NetworkLoadBalancer;

  constructor(scope: Construct, id: string, props: SmtpBalancerProps) {
    super(scope, id);
    const { vpc, ports, clients, hosts, hostGroup } = props;
    const group = new SecurityGroup(this, "Group", { vpc, description: "ZoneFleet: SMTP clients" });
    this.balancer = new NetworkLoadBalancer(this, "Balancer", {
      loadBalancerName: props.name,
      vpc,
      vpcSubnets: { subnetType: SubnetType.PUBLIC },
      internetFacing: true,
      crossZoneEnabled: true,
      securityGroups: [group],
    });
    for (const port of ports) {
      for (const cidr of clients) group.addIngressRule(Peer.ipv4(cidr), Port.tcp(port), "SMTP clients");
      hostGroup.addIngressRule(group, Port.tcp(port), "SMTP from the load balancer");
      this.balancer
        .addListener(`Listener-${port}`, { port, protocol: Protocol.TCP })
        .addTargets(`Hosts-${port}`, {
          port,
          protocol: Protocol.TCP,
          targets: [hosts],
          proxyProtocolV2: true,
          // Else the connection itself would come from the client, from whom no host takes a PROXY header.
          preserveClientIp: false,
          deregistrationDelay: DEREGISTRATION,
          healthCheck: { protocol: Protocol.TCP, interval: HEALTH_INTERVAL, unhealthyThresholdCount: 3 },
        });
    }
    accept(
      this.balancer,
      "AwsSolutions-ELB2",
      "A network load balancer logs TLS connections only; the feeder logs each session with its client.",
    );
    accept(
      group,
      "AwsSolutions-EC23",
      "Who may connect is in the deployment record; nobody sends without a login.",
    );
    new CfnOutput(this, "Target", {
      value: this.balancer.loadBalancerDnsName,
      description: `Publish a CNAME of ${props.domain} to it`,
    });
  }
}
