/** A Lambda of ours: its bundle, its terms, its log, and a role that may what it needs. */

import { RemovalPolicy, Stack } from "aws-cdk-lib";
import type { Duration } from "aws-cdk-lib";
import { PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Architecture, Code, Function as LambdaFunction, Runtime } from "aws-cdk-lib/aws-lambda";
import { LogGroup, RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";

import type { Needs } from "../grants.ts";
import { acceptWildcards, statementsFor } from "../grants.ts";
import type { Installation } from "../installation.ts";
import { settingsOf } from "../installation.ts";

export interface MailFunctionProps {
  readonly name: string;
  readonly description: string;
  /** Folder of the bundle. */
  readonly folder: string;
  readonly names: Installation;
  readonly needs: Needs;
  readonly timeout: Duration;
}

/** Of which a Lambda gets its share of a processor, too: at less the SDK's TLS takes most of the time that is paid for. */
const MEMORY_MIB = 512;

export class MailFunction extends Construct {
  readonly function: LambdaFunction;

  constructor(scope: Construct, id: string, props: MailFunctionProps) {
    super(scope, id);
    const { name, names, needs } = props;
    const { ZONEFLEET_SECRET, ...environment } = settingsOf(names);
    const logGroup = new LogGroup(this, "Log", {
      logGroupName: `/zonefleet/${names.prefix}/${name}`,
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = this.roleOf(logGroup);
    const statements = statementsFor(Stack.of(this), names, needs);
    for (const statement of statements) role.addToPolicy(statement);
    this.function = new LambdaFunction(this, "Function", {
      functionName: `${names.prefix}-${name}`,
      description: props.description,
      code: Code.fromAsset(props.folder),
      handler: "index.handler",
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: MEMORY_MIB,
      timeout: props.timeout,
      role,
      logGroup,
      environment: needs.secret ? { ...environment, ZONEFLEET_SECRET } : environment,
    });
    acceptWildcards(role, statements);
  }

  /** In place of AWS's own policy for Lambdas, which lets them write any log. */
  private roleOf(logGroup: LogGroup): Role {
    const role = new Role(this, "Role", { assumedBy: new ServicePrincipal("lambda.amazonaws.com") });
    role.addToPolicy(
      new PolicyStatement({
        actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
        resources: [logGroup.logGroupArn],
      }),
    );
    return role;
  }
}
