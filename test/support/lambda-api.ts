/** The Lambdas as they are on AWS: the bundles that are deployed, loaded into this process, on a table, bucket and queues of their own. */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import type { Context } from "aws-lambda";

import { matchRoute } from "#shared/app/match-route.ts";
import { bootstrapAws } from "#shared/aws/bootstrap.ts";
import { DEFAULT_VISIBILITY_MS } from "#shared/aws/storage-terms.ts";
import type { AwsNames } from "#shared/aws/names.ts";
import type { Config } from "#shared/domain/config.ts";
import { splitSecrets } from "#shared/domain/config-secrets.ts";
import { SECOND } from "#shared/domain/units.ts";
import { PLUGIN_PATH } from "#shared/plugins/routes.ts";
import type { LambdaName } from "../../lambdas/build.ts";
import { buildLambdas, HAS_PLUGINS, LAMBDA_OF } from "../../lambdas/build.ts";
import type { ApiResult } from "../../lambdas/http.ts";
import { sharedLocalAws } from "./aws-backend.ts";
import type { LambdaRequest } from "./lambda-event.ts";
import { lambdaEvent } from "./lambda-event.ts";

export interface LambdaAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** Null: the body is no JSON. */
  readonly json: any; // eslint-disable-line -- tests look into it as they like
}

export interface LambdaApi extends AsyncDisposable {
  readonly names: AwsNames;
  /** What a process needs to work on the same installation. */
  readonly env: Readonly<Record<string, string>>;
  /** Through the Lambda that API Gateway would send the request to. */
  ask(request: LambdaRequest): Promise<LambdaAnswer>;
  /** Call a Lambda with an event of its own kind. */
  invoke(name: LambdaName, event: object): Promise<unknown>;
}

export interface LambdaApiOptions {
  /** True: the table has a stream. */
  readonly stream?: boolean;
  /** Over the environment that leads to the local AWS. */
  readonly env?: Readonly<Record<string, string>>;
  /** Told of each call of a Lambda before it is made. */
  readonly onInvoke?: (name: LambdaName) => void;
}

/** A file that uses it calls `stopLocalAwsAtEnd`. It sets the environment of this process, as a Lambda's is set. */
export async function startLambdaApi(config: Config, options: LambdaApiOptions = {}): Promise<LambdaApi> {
  const { stream = false, onInvoke = () => undefined } = options;
  const outDir = await mkdtemp(join(tmpdir(), "zonefleet-lambdas-"));
  const aws = await sharedLocalAws();
  const names = aws.newNames();
  await bootstrapAws({
    clients: aws.clients,
    names,
    zones: config.zones.keys(),
    visibilityMs: DEFAULT_VISIBILITY_MS,
    stream,
  });
  const env = {
    ...aws.env,
    ZONEFLEET_TABLE: names.table,
    ZONEFLEET_BUCKET: names.bucket,
    ZONEFLEET_QUEUE_PREFIX: names.queuePrefix,
    ZONEFLEET_SECRET: await writeSecret(outDir, config),
    POWERTOOLS_LOG_LEVEL: "SILENT",
    POWERTOOLS_METRICS_DISABLED: "true",
    ...options.env,
  };
  Object.assign(process.env, env);
  const handlers = await handlersIn(outDir, config);
  const invoke: LambdaApi["invoke"] = (name, event) => {
    const handler = handlers.get(name);
    if (!handler) throw new Error(`no Lambda ${name}`);
    onInvoke(name);
    return handler(JSON.parse(JSON.stringify(event)), CONTEXT);
  };
  return {
    names,
    env,
    async ask(request) {
      const path = request.path.split("?")[0] ?? "";
      const match = matchRoute(request.method, path);
      const other = path.startsWith(PLUGIN_PATH) ? HAS_PLUGINS : "health";
      const lambda = match.kind === "found" ? LAMBDA_OF[match.name] : other;
      return answerOf((await invoke(lambda, lambdaEvent(request))) as ApiResult);
    },
    invoke,
    async [Symbol.asyncDispose]() {
      await rm(outDir, { recursive: true, force: true });
    },
  };
}

/** In a file, as no local AWS of the tests has a Secrets Manager. Resolves with its name. */
async function writeSecret(folder: string, config: Config): Promise<string> {
  const file = join(folder, "secret.json");
  const secrets = Object.fromEntries(splitSecrets(config).secrets);
  await writeFile(file, JSON.stringify({ sealKey: randomBytes(32).toString("hex"), config: secrets }));
  return pathToFileURL(file).href;
}

type Handler = (event: unknown, context: Context) => Promise<unknown>;

const TIMEOUT_MS = 60 * SECOND;
const CONTEXT = { getRemainingTimeInMillis: () => TIMEOUT_MS } as Context;

async function handlersIn(outDir: string, config: Config): Promise<Map<LambdaName, Handler>> {
  const handlers = new Map<LambdaName, Handler>();
  for (const { name, file } of await buildLambdas({ outDir, config })) {
    const bundle = (await import(pathToFileURL(file).href)) as { handler: Handler };
    handlers.set(name, bundle.handler);
  }
  return handlers;
}

/** As API Gateway makes a response of it. */
function answerOf(result: ApiResult): LambdaAnswer {
  const { statusCode, headers, body = "", isBase64Encoded = false } = result;
  const text = Buffer.from(body, isBase64Encoded ? "base64" : "utf8").toString("utf8");
  return { status: statusCode, headers, text, json: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
