/** Plugins in the Lambda that takes mail in: bundled with it, and never left out in silence. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { addApiKey } from "#shared/app/api-keys.ts";
import type { KeyScope } from "#shared/app/api-keys.ts";
import { noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { dynamoSecretStore } from "#shared/aws/secret-store.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { buildLambdas } from "../../lambdas/build.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import type { LambdaApi } from "../support/lambda-api.ts";
import { startLambdaApi } from "../support/lambda-api.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { pluginFiles } from "../support/plugin-files.ts";

const skip = noLocalAws();
stopLocalAwsAtEnd();

const SOURCE = `
import { ending } from "./ending.js";
export async function init(app) {
  app.addHook("message:headers", async (envelope) => {
    if (envelope.to.includes("refused@example.net")) throw app.reject(envelope, "no", undefined, "550 5.7.1 Not to him");
    if (envelope.to.includes("dropped@example.net")) throw app.drop(envelope, "not wanted");
  });
  app.addRewriteHook((envelope, node) => node.contentType === "text/plain", (envelope, node, source, destination) => {
    source.on("data", (chunk) => destination.write(chunk));
    source.on("end", () => destination.end(ending));
  });
}`;

async function keyOf({ names }: LambdaApi, scopes: readonly KeyScope[] = ["send", "read"]): Promise<string> {
  const { dynamo } = (await sharedLocalAws()).clients;
  const { sealing } = noDeploymentSecret;
  const secrets = dynamoSecretStore({ dynamo, table: names.table, clock: systemClock, sealing });
  const deps = { secrets, clock: systemClock, random: randomBytes };
  const { key } = await addApiKey(deps, { scopes, label: "" });
  return `Bearer ${key}`;
}

describe("a plugin of a deployment", { skip, timeout: 60_000 }, () => {
  test("rewrites, refuses and drops mail that comes by HTTP", async () => {
    await using files = await pluginFiles({
      "it.js": SOURCE,
      "ending.js": 'export const ending = "-- us\\n";',
    });
    const config = parseConfig(
      { hostname: "mail.example", pluginsPath: files.folder, plugins: { it: { enabled: "receiver" } } },
      { source: null, baseDir: "/" },
    );
    await using lambdas = await startLambdaApi(config);
    const headers = { authorization: await keyOf(lambdas), "content-type": "application/json" };
    const send = (to: string) =>
      lambdas.ask({
        method: "POST",
        path: "/send",
        headers,
        body: JSON.stringify({ from: "anna@example.com", to, subject: "Hello", text: "It works.\n" }),
      });
    const sent = await send("ben@example.net");
    assert.equal(sent.status, 200);
    const fetched = await lambdas.ask({ method: "GET", path: `/fetch/${sent.json.id}`, headers });
    assert.match(fetched.text, /\r\n\r\nIt works\.\r\n-- us\r\n$/);
    const refused = await send("refused@example.net");
    assert.deepEqual([refused.status, refused.json.code], [422, "refused"]);
    const dropped = await send("dropped@example.net");
    assert.equal(dropped.status, 200);
    assert.deepEqual(dropped.json.recipients, [
      { ...dropped.json.recipients[0], recipient: "dropped@example.net", state: "dropped" },
    ]);
  });

  test("serves its routes, to keys that may do all", async () => {
    const source = `
      export async function init(app) {
        app.addAPI("get", "/users/:user", async ({ params }) => ({ user: params.user, word: app.config.word }));
      }`;
    await using files = await pluginFiles({ "it.js": source });
    const config = parseConfig(
      { pluginsPath: files.folder, plugins: { it: { enabled: ["main"], word: "yes" } } },
      { source: null, baseDir: "/" },
    );
    await using lambdas = await startLambdaApi(config);
    const authorization = await keyOf(lambdas, ["admin"]);
    const get = (path: string, headers = { authorization }) => lambdas.ask({ method: "GET", path, headers });
    const answer = await get("/plugin/it/users/anna?q=1");
    assert.deepEqual([answer.status, answer.json], [200, { user: "anna", word: "yes" }]);
    assert.equal((await get("/plugin/it/others")).status, 404);
    assert.equal((await get("/plugin/none/users/anna")).status, 404);
    const mayOnlySend = { authorization: await keyOf(lambdas) };
    assert.equal((await get("/plugin/it/users/anna", mayOnlySend)).status, 403);
    assert.equal((await get("/plugin/it/users/anna", { authorization: "Bearer none" })).status, 401);
  });

  test("fails the build when it cannot run there", async () => {
    const outDir = await mkdtemp(join(tmpdir(), "zonefleet-build-"));
    const build = (source: string) => async (): Promise<void> => {
      await using files = await pluginFiles({ "it.js": source });
      const config = parseConfig(
        { pluginsPath: files.folder, plugins: { it: { enabled: ["receiver", "sender"] } } },
        { source: null, baseDir: "/" },
      );
      await buildLambdas({ outDir, config, names: ["send"] });
    };
    await assert.rejects(
      build('import "no-such-package";\nexport const init = () => {};'),
      /plugin it cannot/,
    );
    await assert.rejects(build("export const title = 'nothing';"), /plugin it cannot .* no function init/);
    await rm(outDir, { recursive: true, force: true });
  });
});
