/**
 * Bundles each Lambda into a folder of its own: `index.mjs`, and beside it the checked configuration. For the stacks and for tests.
 *
 * Everything a Lambda needs is in its bundle, the SDK too, in the versions that were tested; nothing in it depends on the
 * processor. What it does not need does not get in, since each entry file names the handlers it serves.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import type { RouteName } from "#shared/app/routes.ts";
import type { Config } from "#shared/domain/config.ts";

import { checkPlugins, pluginModules, receivingPlugins } from "./build-plugins.ts";
import { CONFIG_FILE, printConfig } from "./bundle-config.ts";

export const API_LAMBDAS = ["send", "queue", "suppression", "zones", "health"] as const;
export const OTHER_LAMBDAS = [
  "sweep",
  "events",
  "report-again",
  "notify",
  "notify-again",
  "dead-letter",
  "zone-guard",
] as const;
export type LambdaName = (typeof API_LAMBDAS)[number] | (typeof OTHER_LAMBDAS)[number];
/** They need the receivers of events and the secrets that sign for them. Without receivers they have nothing to do. */
const TELL_RECEIVERS: readonly LambdaName[] = ["notify", "notify-again"];
/** Its bundle has the plugins that look at mail, so it serves what they add to the API too, under `/plugin/`. */
export const HAS_PLUGINS: (typeof API_LAMBDAS)[number] = "send";
const LAMBDA_NAMES: readonly LambdaName[] = [...API_LAMBDAS, ...OTHER_LAMBDAS];

/** Who serves a route. What is no route goes to `health`, which answers so. */
export const LAMBDA_OF: Readonly<Record<RouteName, (typeof API_LAMBDAS)[number]>> = {
  send: "send",
  sendRaw: "send",
  uploads: "send",
  // It has the key to seal with, which others are not given.
  dkimKeys: "send",
  putDkimKey: "send",
  removeDkimKey: "send",
  counter: "queue",
  queued: "queue",
  queue: "queue",
  operate: "queue",
  message: "queue",
  sendNow: "queue",
  drop: "queue",
  fetch: "queue",
  events: "queue",
  suppressions: "suppression",
  suppress: "suppression",
  unsuppress: "suppression",
  exportSuppressions: "suppression",
  importSuppressions: "suppression",
  zones: "zones",
  blacklist: "zones",
  unblock: "zones",
  skipDomains: "zones",
  slowed: "zones",
  endSlowing: "zones",
  internals: "zones",
  clearCounters: "zones",
  healthz: "health",
  metrics: "health",
  openapi: "health",
  testAuth: "health",
  reportBounce: "health",
  bounces: "health",
  store: "health",
};

export interface BuiltLambda {
  readonly name: LambdaName;
  /** What is deployed. */
  readonly folder: string;
  /** Its handler is `index.handler`. */
  readonly file: string;
  readonly bytes: number;
  /** Paths, from the root of the project, of the sources that something in the bundle is of. */
  readonly sources: readonly string[];
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FILE = "index.mjs";
/**
 * What the SDK loads only when it is wanted: credentials from elsewhere than the environment, where a Lambda has them, and the
 * names of browsers. A tenth of a bundle.
 */
const NEVER_LOADED = [
  ...["http", "ini", "process", "sso", "web-identity"].map((name) => `@aws-sdk/credential-provider-${name}`),
  "@smithy/credential-provider-imds",
  "bowser",
];

/** CommonJS packages in an ES module ask for Node's own modules by `require`. */
const BANNER =
  'import{createRequire as requireOf}from"node:module";const require=requireOf(import.meta.url);';

export interface BuildOptions {
  /** Gets a folder for each Lambda. */
  readonly outDir: string;
  readonly config: Config;
  readonly names?: readonly LambdaName[];
}

export async function buildLambdas(options: BuildOptions): Promise<BuiltLambda[]> {
  const built: BuiltLambda[] = [];
  for (const name of options.names ?? LAMBDA_NAMES) built.push(await buildLambda(name, options));
  return built;
}

async function buildLambda(name: LambdaName, { outDir, config }: BuildOptions): Promise<BuiltLambda> {
  const folder = join(outDir, name);
  const file = join(folder, FILE);
  await mkdir(folder, { recursive: true });
  const plugins = name === HAS_PLUGINS ? receivingPlugins(config.plugins) : [];
  await checkPlugins(plugins);
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [`lambdas/entry/${name}.ts`],
    outfile: file,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "node24",
    mainFields: ["module", "main"], // ES modules let the unused be left out
    legalComments: "none",
    external: [...NEVER_LOADED],
    banner: { js: BANNER },
    plugins: [pluginModules(plugins)],
    metafile: true,
    logLevel: "error",
  });
  const receivers = TELL_RECEIVERS.includes(name) ? config.receivers : [];
  await writeFile(join(folder, CONFIG_FILE), printConfig(config, { receivers, plugins }));
  const [bundle] = Object.values(metafile.outputs);
  if (!bundle) throw new Error(`the bundle of ${name} is empty`);
  const sources = Object.entries(bundle.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  return { name, folder, file, bytes: bundle.bytes, sources: sources.map(([path]) => path) };
}
