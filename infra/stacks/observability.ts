/** What an operator sees, and what wakes him: a dashboard, alarms, and the topic that writes to the address of the deployment record. */

import { Stack } from "aws-cdk-lib";
import type { StackProps } from "aws-cdk-lib";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import type { Construct } from "constructs";

import type { Config } from "#shared/domain/config.ts";
import { elasticNames } from "#shared/domain/pool.ts";

import type { LambdaName } from "../../lambdas/build.ts";
import { FleetAlarms } from "../constructs/fleet-alarms.ts";
import { LambdaAlarms } from "../constructs/lambda-alarms.ts";
import { MailDashboard } from "../constructs/mail-dashboard.ts";
import { Pager } from "../constructs/pager.ts";
import { ZoneAlarms } from "../constructs/zone-alarms.ts";
import type { Deployment } from "../deployment.ts";
import type { Installation } from "../installation.ts";
import { senderLogGroup } from "../installation.ts";

export interface ObservabilityProps extends StackProps {
  readonly names: Installation;
  readonly deployment: Deployment;
  readonly config: Config;
  /** Those that run, in any order. */
  readonly lambdas: readonly LambdaName[];
  readonly api: HttpApi;
}

export class ObservabilityStack extends Stack {
  constructor(scope: Construct, id: string, props: ObservabilityProps) {
    super(scope, id, props);
    const { names, deployment, config, lambdas, api } = props;
    const zones = [...config.zones.values()];
    const pager = new Pager(this, "Pager", { prefix: names.prefix, email: deployment.alarmEmail });
    for (const zone of zones) new ZoneAlarms(this, `Zone-${zone.name}`, { names, zone, pager });
    new FleetAlarms(this, "Fleet", {
      names,
      pager,
      minSenders: deployment.senders.min,
      hasElastic: elasticNames(zones.map(({ pool }) => pool)).length > 0,
    });
    new LambdaAlarms(this, "Lambdas", { names, pager, lambdas, api });
    new MailDashboard(this, "Page", { names, lambdas, api, senderLog: senderLogGroup(names) });
  }
}
