/** The stacks of a deployment as templates, from a configuration of the test. Bundles are made once for a test file. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

import { App } from "aws-cdk-lib";
import type { Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";

import { parseConfig } from "#shared/runtime/config.ts";
import { buildApp } from "../../infra/build-app.ts";
import type { Stacks } from "../../infra/build-app.ts";
import type { Deployment, DeploymentInput } from "../../infra/deployment.ts";
import { parseDeployment } from "../../infra/deployment.ts";
import type { LambdaName } from "../../lambdas/build.ts";
import { buildLambdas } from "../../lambdas/build.ts";
import context from "../../cdk.json" with { type: "json" };

/** One that is not made is not there. */
export type Templates = Readonly<Record<keyof Stacks, Template>>;

export const DEPLOYMENT: DeploymentInput = {
  environment: "test",
  region: "eu-central-1",
  domain: "mail.example.com",
  alarmEmail: "postmaster@example.com",
};

export interface StackOptions {
  readonly config?: object;
  readonly deployment?: Partial<DeploymentInput>;
  readonly isLocal?: boolean;
}

let bundles: Promise<ReadonlyMap<LambdaName, string>> | null = null;

/** Once in a file that uses it. */
export async function templates(options: StackOptions = {}): Promise<Templates> {
  const { config = {}, deployment = {}, isLocal = false } = options;
  bundles ??= buildBundles();
  const app = new App({ context: context.context, analyticsReporting: false });
  const stacks = buildApp(app, {
    deployment: deploymentOf(deployment),
    config: parseConfig({ hostname: "mail.example.com", ...config }, { source: null, baseDir: "/" }),
    bundles: await bundles,
    senderFolder: join(import.meta.dirname, "../../infra/constructs"), // any folder: what is in it is not looked at here
    isLocal,
  });
  const made = Object.entries(stacks).flatMap(([name, stack]) =>
    stack === null ? [] : [[name, Template.fromStack(stack as Stack)] as const],
  );
  return Object.fromEntries(made) as Templates;
}

function deploymentOf(fields: Partial<DeploymentInput>): Deployment {
  return parseDeployment({ ...DEPLOYMENT, ...fields }, "the test");
}

/** What is in them is not looked at here, so one configuration is as good as another. */
async function buildBundles(): Promise<ReadonlyMap<LambdaName, string>> {
  const outDir = await mkdtemp(join(tmpdir(), "zonefleet-stacks-"));
  after(() => rm(outDir, { recursive: true, force: true }));
  const config = parseConfig({ hostname: "mail.example.com" }, { source: null, baseDir: "/" });
  const built = await buildLambdas({ outDir, config });
  return new Map(built.map(({ name, folder }) => [name, folder]));
}
