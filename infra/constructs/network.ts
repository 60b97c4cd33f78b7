/**
 * Where the senders are: public subnets in two availability zones, without NAT, for a sender must be seen as the address that it
 * sends from. S3 and DynamoDB are reached through gateways, which cost nothing.
 */

import {
  GatewayVpcEndpointAwsService,
  CfnVPCEndpoint,
  FlowLogDestination,
  FlowLogTrafficType,
  IpAddresses,
  SubnetType,
  Vpc,
} from "aws-cdk-lib/aws-ec2";
import type { IVpc } from "aws-cdk-lib/aws-ec2";
import { RetentionDays, LogGroup } from "aws-cdk-lib/aws-logs";
import { Fn, RemovalPolicy, Stack } from "aws-cdk-lib";
import { Construct } from "constructs";

import { accept } from "../accepted-findings.ts";
import type { Deployment } from "../deployment.ts";

export type ExistingVpc = Exclude<Deployment["vpc"], "new">;

const CIDR = "10.25.0.0/16";
const SUBNET_BITS = 24;
const ZONES = 2;

/** Where all its hosts are, the load balancer's among them. */
export function cidrOf(vpc: Deployment["vpc"]): string {
  return vpc === "new" ? CIDR : vpc.cidr;
}

export class Network extends Construct {
  readonly vpc: IVpc;

  constructor(scope: Construct, id: string, { vpc, logName }: { vpc: Deployment["vpc"]; logName: string }) {
    super(scope, id);
    this.vpc = vpc === "new" ? (this.newVpc(logName) as IVpc) : this.existingVpc(vpc);
  }

  private newVpc(logName: string): Vpc {
    // Chosen when it is deployed: asking for their names would need credentials when it is synthesised.
    const availabilityZones = Array.from({ length: ZONES }, (_, i) => Fn.select(i, Fn.getAzs()));
    const vpc = new Vpc(this, "Vpc", {
      ipAddresses: IpAddresses.cidr(CIDR),
      availabilityZones,
      natGateways: 0,
      subnetConfiguration: [{ name: "Public", subnetType: SubnetType.PUBLIC, cidrMask: SUBNET_BITS }],
      gatewayEndpoints: {
        S3: { service: GatewayVpcEndpointAwsService.S3 },
        DynamoDb: { service: GatewayVpcEndpointAwsService.DYNAMODB },
      },
    });
    const log = new LogGroup(this, "FlowLog", {
      logGroupName: logName,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // What was refused: all else would be a line for each mail.
    vpc.addFlowLog("Refused", {
      destination: FlowLogDestination.toCloudWatchLogs(log),
      trafficType: FlowLogTrafficType.REJECT,
    });
    return vpc;
  }

  private existingVpc({ id, availabilityZones, publicSubnetIds, publicRouteTableIds }: ExistingVpc): IVpc {
    const { region } = Stack.of(this);
    const services = publicRouteTableIds.length > 0 ? ["s3", "dynamodb"] : []; // else it has its gateways
    for (const service of services)
      new CfnVPCEndpoint(this, `Gateway-${service}`, {
        vpcId: id,
        serviceName: `com.amazonaws.${region}.${service}`,
        vpcEndpointType: "Gateway",
        routeTableIds: [...publicRouteTableIds],
      });
    const vpc = Vpc.fromVpcAttributes(this, "Vpc", {
      vpcId: id,
      availabilityZones: [...availabilityZones],
      publicSubnetIds: [...publicSubnetIds],
    });
    for (const subnet of vpc.publicSubnets)
      accept(
        subnet,
        "Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId",
        "The gateways name their route tables.",
      );
    return vpc;
  }
}
