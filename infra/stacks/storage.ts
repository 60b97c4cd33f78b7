/**
 * What must not be lost: the table, the bucket of bodies, a queue for each zone, and the secret. All of it outlives the stack that
 * made it. Nothing runs here but the guard, which refuses to take away a zone that holds mail.
 */

import { CfnOutput, CustomResource, Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import type { StackProps } from "aws-cdk-lib";
import { AttributeType, BillingMode, ProjectionType, StreamViewType, Table } from "aws-cdk-lib/aws-dynamodb";
import type { Attribute, ITable } from "aws-cdk-lib/aws-dynamodb";
import { ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectOwnership } from "aws-cdk-lib/aws-s3";
import { Secret } from "aws-cdk-lib/aws-secretsmanager";
import type { Construct } from "constructs";

import { INDEXES, PARTITION_KEY, SORT_KEY, TTL_ATTRIBUTE } from "#shared/aws/keys.ts";
import {
  BODIES_AFTER_DAYS,
  BODY_PREFIX,
  CUT_OFF_AFTER_DAYS,
  UPLOAD_PREFIX,
  UPLOADS_AFTER_DAYS,
} from "#shared/aws/storage-terms.ts";
import type { ZoneName } from "#shared/domain/zone.ts";

import { accept } from "../accepted-findings.ts";
import { MailFunction } from "../constructs/mail-function.ts";
import { Zone } from "../constructs/zone.ts";
import type { Deployment } from "../deployment.ts";
import { LAMBDA_NEEDS } from "../lambda-needs.ts";
import type { Installation } from "../installation.ts";
import { settingsOf } from "../installation.ts";

export interface StorageProps extends StackProps {
  readonly names: Installation;
  /** Folder of the guard's bundle. */
  readonly guardFolder: string;
  /** One that operators have made of a backup; left out or null: the one that is made here. */
  readonly restoredTable?: Deployment["restoredTable"] | null;
}

/** For a restore to any second of so many days. */
const RECOVERY_DAYS = 35;
const SEAL_KEY_CHARS = 64;
const GUARD_TIMEOUT = Duration.minutes(1);

export class StorageStack extends Stack {
  readonly table: ITable;
  readonly bucket: Bucket;
  readonly secret: Secret;
  readonly zones: ReadonlyMap<ZoneName, Zone>;

  constructor(scope: Construct, id: string, { names, guardFolder, restoredTable, ...props }: StorageProps) {
    super(scope, id, props);
    this.table = restoredTable ? this.otherTable(restoredTable) : this.makeTable(names.table);
    this.bucket = this.makeBucket(names.bucket);
    this.secret = this.makeSecret(names.secret);
    this.zones = new Map(
      names.zones.map((zone) => [
        zone,
        new Zone(this, `Zone-${zone}`, { zone, queuePrefix: names.queuePrefix }),
      ]),
    );
    this.addGuard(names, guardFolder);
    this.tellSettings(names);
  }

  /** For the command line on a machine with AWS credentials: accounts, API keys, secrets. */
  private tellSettings(names: Installation): void {
    const settings = { ZONEFLEET_BACKEND: "aws", AWS_REGION: this.region, ...settingsOf(names) };
    new CfnOutput(this, "Environment", {
      value: Object.entries(settings)
        .map(([name, value]) => `${name}=${value}`)
        .join(" "),
      description: "Before a command of zonefleet that works on this deployment",
    });
  }

  private otherTable({ name, streamArn }: NonNullable<Deployment["restoredTable"]>): ITable {
    return Table.fromTableAttributes(this, "RestoredTable", { tableName: name, tableStreamArn: streamArn });
  }

  private makeTable(tableName: string): ITable {
    const table = new Table(this, "Table", {
      tableName,
      partitionKey: text(PARTITION_KEY),
      sortKey: text(SORT_KEY),
      billingMode: BillingMode.PAY_PER_REQUEST,
      timeToLiveAttribute: TTL_ATTRIBUTE,
      stream: StreamViewType.NEW_IMAGE,
      pointInTimeRecoverySpecification: {
        pointInTimeRecoveryEnabled: true,
        recoveryPeriodInDays: RECOVERY_DAYS,
      },
      deletionProtection: true,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    for (const { name, partition, sort } of INDEXES)
      table.addGlobalSecondaryIndex({
        indexName: name,
        partitionKey: text(partition),
        sortKey: text(sort),
        projectionType: ProjectionType.KEYS_ONLY,
      });
    return table as ITable;
  }

  private makeBucket(bucketName: string): Bucket {
    const bucket = new Bucket(this, "Bodies", {
      bucketName,
      encryption: BucketEncryption.S3_MANAGED,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      lifecycleRules: [
        { id: "cut-off", abortIncompleteMultipartUploadAfter: Duration.days(CUT_OFF_AFTER_DAYS) },
        { id: "uploads", prefix: UPLOAD_PREFIX, expiration: Duration.days(UPLOADS_AFTER_DAYS) },
        { id: "bodies", prefix: BODY_PREFIX, expiration: Duration.days(BODIES_AFTER_DAYS) },
      ],
    });
    accept(
      bucket,
      "AwsSolutions-S1",
      "Only our own roles reach it, and an access log costs another object for every few mails. CloudTrail's data events tell the same when they are wanted.",
    );
    return bucket;
  }

  /** The seal key is made here and seen by nobody; what is secret in the configuration is added by `zonefleet secrets push`. */
  private makeSecret(secretName: string): Secret {
    const secret = new Secret(this, "Secret", {
      secretName,
      description: "ZoneFleet: the seal key, and what is secret in the configuration",
      generateSecretString: {
        secretStringTemplate: "{}",
        generateStringKey: "sealKey",
        passwordLength: SEAL_KEY_CHARS,
        excludePunctuation: true,
      },
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    accept(
      secret,
      "AwsSolutions-SMG4",
      "What was sealed with the key can be read with no other one; the rest is changed with the configuration.",
    );
    return secret;
  }

  /** Its refusal fails the update before anything is taken away. */
  private addGuard(names: Installation, folder: string): void {
    const name = "zone-guard";
    const guard = new MailFunction(this, "Guard", {
      name,
      description: "ZoneFleet: refuses to remove a zone that holds mail",
      folder,
      names,
      needs: LAMBDA_NEEDS[name],
      timeout: GUARD_TIMEOUT,
    });
    guard.function.addPermission("CloudFormation", {
      principal: new ServicePrincipal("cloudformation.amazonaws.com"),
      sourceAccount: this.account,
    });
    const zonesKept = new CustomResource(this, "Zones", {
      resourceType: "Custom::Zones",
      serviceToken: guard.function.functionArn,
      serviceTimeout: GUARD_TIMEOUT.plus(GUARD_TIMEOUT),
      properties: { Zones: names.zones },
    });
    zonesKept.node.addDependency(this.table);
  }
}

function text(name: string): Attribute {
  return { name, type: AttributeType.STRING };
}
