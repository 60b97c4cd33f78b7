/**
 * `cdk synth`, `cdk deploy`: reads the deployment record and the mail configuration, bundles the Lambdas, and makes the stacks.
 * Context: `-c deployment=<file>` names the record (`zonefleet.deployment.ts`, else the example in docs/aws), `-c stage=local` is for LocalStack.
 */

import { existsSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";

import { DomainError } from "#shared/domain/errors.ts";
import { loadConfig } from "#shared/runtime/config.ts";

import { buildLambdas } from "../lambdas/build.ts";
import { bundleSender } from "../sender/bundle.ts";
import { buildApp } from "./build-app.ts";
import { loadDeployment } from "./deployment.ts";

const ROOT = join(import.meta.dirname, "..");
const OWN_RECORD = "zonefleet.deployment.ts";
const EXAMPLE_RECORD = join(ROOT, "docs", "aws", "zonefleet.deployment.ts");
const BUNDLES = join(ROOT, "node_modules", ".cache", "zonefleet");

const app = new App();
try {
  await build();
} catch (error) {
  if (!(error instanceof DomainError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(1); // before CDK would synthesise what there is
}

/** Throws a `DomainError` when the record or the configuration is not right. */
async function build(): Promise<void> {
  const { deployment, configFile } = await loadDeployment(recordFile());
  const { config } = await loadConfig({
    env: { ZONEFLEET_CONFIG: configFile, ZONEFLEET_BACKEND: "aws" },
    cwd: process.cwd(),
  });
  const built = await buildLambdas({ outDir: join(BUNDLES, "lambdas"), config });
  const senderFolder = join(BUNDLES, "sender");
  await bundleSender({ outDir: senderFolder, config });
  await copyFile(join(import.meta.dirname, "sender-boot.sh"), join(senderFolder, "sender-boot.sh"));
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  buildApp(app, {
    deployment,
    config,
    bundles: new Map(built.map(({ name, folder }) => [name, folder])),
    senderFolder,
    isLocal: app.node.tryGetContext("stage") === "local",
  });
}

function recordFile(): string {
  const asked: unknown = app.node.tryGetContext("deployment");
  if (typeof asked === "string") return resolve(asked);
  if (existsSync(OWN_RECORD)) return resolve(OWN_RECORD);
  process.stderr.write(
    `There is no ${OWN_RECORD}: these are the stacks of the example in docs/aws. Copy it to deploy one of your own.\n`,
  );
  return EXAMPLE_RECORD;
}
