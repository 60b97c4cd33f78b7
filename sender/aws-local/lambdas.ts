/**
 * The Lambdas on this machine: bundled as for AWS, loaded into this process, and called with events that are JSON and nothing else.
 * It stands in for the Lambda service and for the two sides of API Gateway; what they do is in `lambdas/`.
 */

import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import type { Context } from "aws-lambda";

import type { RouteName } from "#shared/app/routes.ts";
import { routes } from "#shared/app/routes.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import { MIB, SECOND } from "#shared/domain/units.ts";

import type { ApiHandlers } from "../../lambdas/api.ts";
import type { LambdaName } from "../../lambdas/build.ts";
import { buildLambdas, HAS_PLUGINS, LAMBDA_OF } from "../../lambdas/build.ts";
import type { ApiEvent, ApiHandler, ApiResult } from "../../lambdas/http.ts";
import { bodyOf, uploadAdvice } from "../../lambdas/http.ts";

export interface Lambdas {
  /** The Lambda's answer to an event. */
  invoke(name: LambdaName, event: object): Promise<unknown>;
  /** Those behind API Gateway. */
  readonly api: ApiHandlers;
  /** What plugins serve. */
  readonly pluginRoutes: ApiHandler;
}

export interface LambdasOptions {
  readonly config: Config;
  /** For the bundles. */
  readonly folder: string;
  readonly clock: Clock;
  readonly onInvocation: (name: LambdaName, durationMs: number) => void;
}

type Handler = (event: unknown, context: Context) => Promise<unknown>;

/** What API Gateway takes. */
export const MAX_GATEWAY_BYTES = 10 * MIB;
/** As the stacks set it. */
const TIMEOUT_MS = 60 * SECOND;

export async function loadLambdas({ config, folder, clock, onInvocation }: LambdasOptions): Promise<Lambdas> {
  const handlers = new Map<LambdaName, Handler>();
  for (const { name, file } of await buildLambdas({ outDir: join(folder, "lambdas"), config })) {
    const { handler } = (await import(pathToFileURL(file).href)) as { handler: Handler };
    handlers.set(name, handler);
  }

  async function invoke(name: LambdaName, event: object): Promise<unknown> {
    const handler = handlers.get(name);
    if (!handler) throw new Error(`there is no Lambda ${name}`);
    const startedAt = performance.now();
    const endsAt = clock.now() + TIMEOUT_MS;
    const context = {
      awsRequestId: randomUUID(),
      functionName: name,
      functionVersion: "$LATEST",
      getRemainingTimeInMillis: () => endsAt - clock.now(),
    } as Context;
    try {
      return asJson(await handler(asJson(event), context));
    } finally {
      onInvocation(name, performance.now() - startedAt);
    }
  }

  const gateway =
    (name: LambdaName): ApiHandler =>
    async (event: ApiEvent) => {
      const chunks = await Array.fromAsync(
        bodyOf(event, MAX_GATEWAY_BYTES, uploadAdvice(config.api.maxSize)),
      );
      const body = chunks.length === 0 ? {} : { body: Buffer.concat(chunks).toString("base64") };
      const whole = { ...event, ...body, isBase64Encoded: chunks.length > 0 };
      return (await invoke(name, whole)) as ApiResult;
    };
  const names = Object.keys(routes) as RouteName[];
  const api = Object.fromEntries(names.map((route) => [route, gateway(LAMBDA_OF[route])]));
  return { invoke, api: api as unknown as ApiHandlers, pluginRoutes: gateway(HAS_PLUGINS) };
}

function asJson(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value));
}
