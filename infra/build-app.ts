/** The stacks of one deployment, from its record and its mail configuration. */

import type { App, Environment } from "aws-cdk-lib";
import { Tags } from "aws-cdk-lib";
import type { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";

import type { Config } from "#shared/domain/config.ts";
import { elasticNames } from "#shared/domain/pool.ts";

import type { LambdaName } from "../lambdas/build.ts";
import type { Deployment } from "./deployment.ts";
import { cidrOf } from "./constructs/network.ts";
import { installation } from "./installation.ts";
import type { Installation } from "./installation.ts";
import { smtpPorts } from "./smtp-ports.ts";
import { WITHOUT_TAGS } from "./without-tags.ts";
import { ApiStack } from "./stacks/api.ts";
import { ObservabilityStack } from "./stacks/observability.ts";
import { SenderStack } from "./stacks/sender.ts";
import { StorageStack } from "./stacks/storage.ts";

export interface AppInput {
  readonly deployment: Deployment;
  readonly config: Config;
  /** Folder of each Lambda's bundle. */
  readonly bundles: ReadonlyMap<LambdaName, string>;
  /** Folder of the bundled sender and its boot script. */
  readonly senderFolder: string;
  /** True: for LocalStack, and only what it can do: storage, and Lambdas with URLs. */
  readonly isLocal: boolean;
}

export interface Stacks {
  readonly storage: StorageStack;
  readonly api: ApiStack;
  /** Null: LocalStack has no hosts. */
  readonly sender: SenderStack | null;
  /** Null: LocalStack has nothing to look at. */
  readonly observability: ObservabilityStack | null;
}

export function buildApp(app: App, { deployment, config, bundles, senderFolder, isLocal }: AppInput): Stacks {
  const { environment, region, account, restoredTable = null } = deployment;
  const ours = installation(environment, config.zones.keys());
  const names = restoredTable === null ? ours : { ...ours, table: restoredTable.name };
  const env = { region, ...(account === undefined ? {} : { account }) };
  const guardFolder = bundles.get("zone-guard");
  if (guardFolder === undefined) throw new Error("there is no bundle of the zone guard");
  const storage = new StorageStack(app, `${names.prefix}-storage`, {
    env,
    description: "ZoneFleet: table, bucket, queues and secret",
    terminationProtection: true,
    names,
    guardFolder,
    restoredTable,
  });
  const api = new ApiStack(app, `${names.prefix}-api`, {
    env,
    description: "ZoneFleet: HTTP API and the Lambdas behind it",
    names,
    deployment,
    bundles,
    table: storage.table,
    hasReceivers: config.receivers.length > 0,
    isLocal,
  });
  const sender = isLocal
    ? null
    : new SenderStack(app, `${names.prefix}-sender`, {
        env,
        description: "ZoneFleet: hosts that send, their addresses, and the way in for SMTP",
        names,
        deployment,
        addressNames: elasticNames([...config.zones.values()].map(({ pool }) => pool)),
        smtpPorts: smtpPorts(config, cidrOf(deployment.vpc)),
        folder: senderFolder,
      });
  sender?.addStackDependency(storage);
  const observability =
    api.api && observabilityOf(app, { env, names, deployment, config, api, http: api.api });
  if (sender) observability?.addStackDependency(sender);
  Tags.of(app).add("zonefleet", environment, { excludeResourceTypes: [...WITHOUT_TAGS] });
  return { storage, api, sender, observability };
}

interface Observed {
  readonly env: Environment;
  readonly names: Installation;
  readonly deployment: Deployment;
  readonly config: Config;
  readonly api: ApiStack;
  readonly http: HttpApi;
}

function observabilityOf(app: App, { api, http, ...seen }: Observed): ObservabilityStack {
  return new ObservabilityStack(app, `${seen.names.prefix}-observability`, {
    ...seen,
    description: "ZoneFleet: dashboard and alarms",
    lambdas: [...api.functions.keys()],
    api: http,
  });
}
