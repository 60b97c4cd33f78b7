/** What is deployed: small bundles with nothing in them that they do not need, which load without asking anybody. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { ROUTE_NAMES } from "#shared/app/routes.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { BuiltLambda } from "../../../lambdas/build.ts";
import { API_LAMBDAS, buildLambdas, LAMBDA_OF, OTHER_LAMBDAS } from "../../../lambdas/build.ts";

/** The promise of docs/architecture.md. A bundle that is much smaller than this is better still. */
const MAX_API_BYTES = 1_000_000;
/** A closed port: what loads by asking over the network fails. */
const NOWHERE = "http://127.0.0.1:9";

/** What no Lambda has any use for. */
const IN_NONE = [
  /node_modules\/zod\/v4\/locales\/(?!en\.)/,
  /node_modules\/zod\/v3\//,
  /node_modules\/(lmdb|pino|smtp-server|dns-packet|esbuild)\//,
  /^shared\/embedded\//,
  /^sender\//,
  /^test\//,
];
const COMPOSER = /node_modules\/nodemailer\/.*mail-composer/;
const PROMETHEUS = /node_modules\/prom-client\//;
const MIDDY = /node_modules\/@middy\/core\//;

let outDir: string;
const built = new Map<string, BuiltLambda>();
before(async () => {
  outDir = await mkdtemp(join(tmpdir(), "zonefleet-build-"));
  const config = parseConfig({ hostname: "mail.example" }, { source: null, baseDir: "/" });
  for (const lambda of await buildLambdas({ outDir, config })) built.set(lambda.name, lambda);
});
after(() => rm(outDir, { recursive: true, force: true }));

function sourcesOf(name: string, pattern: RegExp): string[] {
  return (built.get(name)?.sources ?? []).filter((source) => pattern.test(source));
}

/** Milliseconds that a new process takes to load the bundle. Fails when it has no handler. */
async function importMs({ file }: BuiltLambda): Promise<number> {
  const script = `
    const startedAt = performance.now();
    const { handler } = await import(${JSON.stringify(pathToFileURL(file).href)});
    const ms = performance.now() - startedAt;
    if (typeof handler !== "function") throw new Error("no handler");
    process.stdout.write("import ms " + ms);
    process.exit();`;
  const env = {
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "x",
    AWS_SECRET_ACCESS_KEY: "x",
    AWS_ENDPOINT_URL: NOWHERE,
  };
  const args = ["--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: 20_000 });
  return Number(/import ms ([\d.]+)/.exec(stdout)?.[1]);
}

describe("the bundle of each Lambda", () => {
  for (const name of [...API_LAMBDAS, ...OTHER_LAMBDAS]) {
    test(`${name} is small, loads without the network, and has nothing that it does not need`, async (t) => {
      const lambda = built.get(name);
      assert.ok(lambda);
      assert.ok(lambda.bytes < MAX_API_BYTES, `${lambda.bytes} bytes`);
      for (const pattern of IN_NONE) assert.deepEqual(sourcesOf(name, pattern), [], String(pattern));
      assert.equal(sourcesOf(name, COMPOSER).length > 0, name === "send", "composes mail");
      assert.equal(sourcesOf(name, PROMETHEUS).length > 0, name === "health", "speaks to Prometheus");
      assert.ok(sourcesOf(name, MIDDY).length > 0);
      assert.deepEqual((await readdir(lambda.folder)).toSorted(), ["config.json", "index.mjs"]);
      const ms = await importMs(lambda);
      assert.ok(ms > 0);
      t.diagnostic(`${name}: ${Math.round(lambda.bytes / 1_000)} kB, import in ${Math.round(ms)} ms`);
    });
  }
});

test("every route is one Lambda's, and every Lambda of the API has one", () => {
  assert.deepEqual(Object.keys(LAMBDA_OF).toSorted(), ROUTE_NAMES.toSorted());
  assert.deepEqual([...new Set(Object.values(LAMBDA_OF))].toSorted(), API_LAMBDAS.toSorted());
});
