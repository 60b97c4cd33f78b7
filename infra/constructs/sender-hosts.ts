/**
 * The hosts that send: a group of instances that are all alike, keep nothing, and can go at any time. A host that is to end is told by
 * the lifecycle hook, drains, gives its addresses back, and says that it is done.
 */

import { ArnFormat, Duration, RemovalPolicy, Stack, Tags } from "aws-cdk-lib";
import {
  AdditionalHealthCheckType,
  AutoScalingGroup,
  DefaultResult,
  GroupMetrics,
  HealthChecks,
  LifecycleTransition,
  Signals,
  UpdatePolicy,
} from "aws-cdk-lib/aws-autoscaling";
import {
  AmazonLinuxCpuType,
  BlockDeviceVolume,
  EbsDeviceVolumeType,
  InstanceArchitecture,
  InstanceType,
  LaunchTemplate,
  MachineImage,
  SecurityGroup,
  SubnetType,
  UserData,
} from "aws-cdk-lib/aws-ec2";
import type { IVpc } from "aws-cdk-lib/aws-ec2";
import { ManagedPolicy, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { Construct } from "constructs";

import { DRAIN_HOOK, INSTALLATION_TAG } from "#shared/aws/host-terms.ts";

import { accept, acceptWildcard } from "../accepted-findings.ts";
import type { Deployment } from "../deployment.ts";
import { SENDER_CONFIG_FILE } from "../../sender/bundle.ts";
import { acceptWildcards, statementsFor } from "../grants.ts";
import type { Installation } from "../installation.ts";
import { senderLogGroup, settingsOf } from "../installation.ts";
import { SENDER_NEEDS } from "../sender-needs.ts";

export interface SenderHostsProps {
  readonly names: Installation;
  readonly senders: Deployment["senders"];
  readonly vpc: IVpc;
  /** True: behind a load balancer, which sees when a host takes no more SMTP connections. */
  readonly isBalanced: boolean;
  /** Folder with the bundled sender and its boot script. */
  readonly folder: string;
}

/** Longer than a drain (30 seconds) and the two minutes in which the load balancer lets clients end. */
const DRAIN_TIME = Duration.minutes(5);
/** Until a new host has said that it runs. */
const BOOT_TIME = Duration.minutes(10);
const DISK_GIB = 20;
const FOLDER = "/opt/zonefleet";

export class SenderHosts extends Construct {
  readonly group: AutoScalingGroup;
  readonly securityGroup: SecurityGroup;
  readonly logGroup: LogGroup;
  private readonly props: SenderHostsProps;

  constructor(scope: Construct, id: string, props: SenderHostsProps) {
    super(scope, id);
    this.props = props;
    const { names, vpc, senders } = props;
    this.logGroup = new LogGroup(this, "Log", {
      logGroupName: senderLogGroup(names),
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.securityGroup = new SecurityGroup(this, "Group", {
      vpc,
      description: "ZoneFleet: senders, which connect to every mail host there is",
      allowAllOutbound: true,
    });
    const role = this.makeRole();
    const bundle = new Asset(this, "Bundle", { path: props.folder });
    const object = bundle.bucket.arnForObjects(bundle.s3ObjectKey);
    role.addToPolicy(new PolicyStatement({ actions: ["s3:GetObject"], resources: [object] }));
    const userData = this.userData(bundle);
    this.group = new AutoScalingGroup(this, "Hosts", {
      autoScalingGroupName: names.prefix,
      vpc,
      vpcSubnets: { subnetType: SubnetType.PUBLIC },
      launchTemplate: this.launchTemplate(role, userData),
      minCapacity: senders.min,
      maxCapacity: senders.max,
      groupMetrics: [GroupMetrics.all()],
      healthChecks: this.healthChecks(),
      signals: Signals.waitForMinCapacity({ timeout: BOOT_TIME }),
      // One host after another: the mail of a host that ends is taken up by those that stay.
      updatePolicy: UpdatePolicy.rollingUpdate({
        maxBatchSize: 1,
        minInstancesInService: senders.max > senders.min ? senders.min : senders.min - 1,
        pauseTime: BOOT_TIME,
        waitOnResourceSignals: true,
      }),
    });
    userData.addSignalOnExitCommand(this.group);
    this.group.addLifecycleHook("Drain", {
      lifecycleHookName: DRAIN_HOOK,
      lifecycleTransition: LifecycleTransition.INSTANCE_TERMINATING,
      heartbeatTimeout: DRAIN_TIME,
      defaultResult: DefaultResult.CONTINUE, // a host that is dead already says nothing
    });
    Tags.of(this.group).add("Name", `${names.prefix}-sender`);
    accept(
      this.group,
      "AwsSolutions-AS3",
      "Alarms look at mail that does not move; hosts come and go with every update.",
    );
  }

  /** One that the load balancer cannot reach for long is replaced: its sender hangs, or never started. */
  private healthChecks(): HealthChecks {
    const gracePeriod = BOOT_TIME;
    if (!this.props.isBalanced) return HealthChecks.ec2({ gracePeriod });
    return HealthChecks.withAdditionalChecks({
      gracePeriod,
      additionalTypes: [AdditionalHealthCheckType.ELB],
    });
  }

  private launchTemplate(role: Role, userData: UserData): LaunchTemplate {
    const { names, senders } = this.props;
    const instanceType = new InstanceType(senders.instanceType);
    const isArm = instanceType.architecture === InstanceArchitecture.ARM_64;
    return new LaunchTemplate(this, "Template", {
      launchTemplateName: `${names.prefix}-sender`,
      instanceType,
      machineImage: MachineImage.latestAmazonLinux2023({
        cpuType: isArm ? AmazonLinuxCpuType.ARM_64 : AmazonLinuxCpuType.X86_64,
      }),
      role,
      userData,
      securityGroup: this.securityGroup,
      requireImdsv2: true,
      httpPutResponseHopLimit: 1, // nothing forwards for others
      associatePublicIpAddress: true,
      detailedMonitoring: true,
      blockDevices: [
        {
          deviceName: "/dev/xvda",
          volume: BlockDeviceVolume.ebs(DISK_GIB, {
            volumeType: EbsDeviceVolumeType.GP3,
            encrypted: true,
            deleteOnTermination: true,
          }),
        },
      ],
    });
  }

  /** It names things and holds no secret: whoever may look at an instance may read it. */
  private userData(bundle: Asset): UserData {
    const { names, senders } = this.props;
    const { region } = Stack.of(this);
    const settings = {
      AWS_REGION: region,
      ZONEFLEET_BACKEND: "aws",
      ZONEFLEET_CONFIG: `${FOLDER}/${SENDER_CONFIG_FILE}`,
      ZONEFLEET_DATA: "/var/lib/zonefleet",
      ...settingsOf(names),
      ZONEFLEET_INSTALLATION: names.prefix,
      ZONEFLEET_ADDRESSES: String(senders.addressesPerHost),
      ZONEFLEET_LOG_GROUP: this.logGroup.logGroupName,
    };
    const userData = UserData.forLinux({ shebang: "#!/bin/bash" });
    userData.addCommands(
      "set -euo pipefail",
      `aws s3 cp --region ${region} ${bundle.s3ObjectUrl} /tmp/zonefleet.zip`,
      `mkdir -p ${FOLDER}`,
      `unzip -qo /tmp/zonefleet.zip -d ${FOLDER}`,
      "cat > /etc/zonefleet.env <<'SETTINGS'",
      ...Object.entries(settings).map(([name, value]) => `${name}=${value}`),
      "SETTINGS",
      `bash ${FOLDER}/sender-boot.sh`,
    );
    return userData;
  }

  private makeRole(): Role {
    const { names } = this.props;
    const stack = Stack.of(this);
    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("ec2.amazonaws.com"),
      description: "ZoneFleet senders",
      managedPolicies: [ManagedPolicy.fromAwsManagedPolicyName("AmazonSSMManagedInstanceCore")],
    });
    const statements = [...statementsFor(stack, names, SENDER_NEEDS), ...this.hostStatements()];
    for (const statement of statements) role.addToPolicy(statement);
    acceptWildcards(role, statements);
    acceptWildcard(role, this.groupArn(), "AWS puts an id of its own before the name of the group.");
    acceptWildcard(role, "*", "DescribeAddresses, which AWS grants on nothing less.");
    accept(
      role,
      "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonSSMManagedInstanceCore]",
      "Session Manager in place of SSH, as AWS gives it.",
    );
    return role;
  }

  /** Its own log, its own end, and Elastic IPs of this installation, known by their tag. */
  private hostStatements(): PolicyStatement[] {
    const { names } = this.props;
    const stack = Stack.of(this);
    const ec2 = (resource: string) => stack.formatArn({ service: "ec2", resource, resourceName: "*" });
    const ours = { StringEquals: { [`aws:ResourceTag/${INSTALLATION_TAG}`]: names.prefix } };
    return [
      new PolicyStatement({ actions: ["ec2:DescribeAddresses"], resources: ["*"] }),
      new PolicyStatement({
        actions: ["ec2:AssociateAddress", "ec2:ModifyAddressAttribute"],
        resources: [ec2("elastic-ip")],
        conditions: ours,
      }),
      new PolicyStatement({
        actions: ["ec2:AssociateAddress", "ec2:AssignPrivateIpAddresses"],
        resources: [ec2("network-interface")],
        conditions: { ArnEquals: { "ec2:Vpc": this.props.vpc.vpcArn } },
      }),
      new PolicyStatement({
        actions: ["autoscaling:CompleteLifecycleAction"],
        resources: [this.groupArn()],
      }),
      new PolicyStatement({
        actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
        resources: [this.logGroup.logGroupArn],
      }),
    ];
  }

  /** Known before there is the group, whose hosts need the role. */
  private groupArn(): string {
    return Stack.of(this).formatArn({
      service: "autoscaling",
      resource: "autoScalingGroup",
      resourceName: `*:autoScalingGroupName/${this.props.names.prefix}`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
