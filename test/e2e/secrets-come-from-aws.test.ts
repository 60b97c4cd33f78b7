/**
 * A deployment as it runs: neither bundle nor configuration file has a secret in it, Lambda and sender get them from the secret of the
 * deployment. A DKIM key that the operator's directory hands out to a Lambda is sealed there, opened by the sender, and signs.
 */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ScanCommand } from "@aws-sdk/client-dynamodb";

import { addApiKey } from "#shared/app/api-keys.ts";
import { noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { dynamoSecretStore } from "#shared/aws/secret-store.ts";
import type { Config } from "#shared/domain/config.ts";
import { SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { printDeployedConfig } from "#shared/runtime/deployed-config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { httpPeer } from "../support/http-peer.ts";
import type { HttpPeer } from "../support/http-peer.ts";
import type { LambdaApi } from "../support/lambda-api.ts";
import { startLambdaApi } from "../support/lambda-api.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { patient } from "../support/patience.ts";
import { scratchFolder, startMain, startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess, Scratch } from "../support/relay-process.ts";
import { startSecretsServer } from "../support/secrets-server.ts";
import type { SecretsServer } from "../support/secrets-server.ts";
import { TEST_CERT, TEST_KEY } from "../support/test-certificate.ts";

const PATIENCE_MS = patient(20 * SECOND);
const NAME = "zonefleet-test";
const privateKey = generateKeyPairSync("ed25519")
  .privateKey.export({ type: "pkcs8", format: "pem" })
  .toString();
const mail = { from: "anna@a.example", to: "ben@b.example", subject: "hello", text: "hi" };

stopLocalAwsAtEnd();

describe("the secrets of a deployment", { skip: noLocalAws(), timeout: 6 * PATIENCE_MS }, () => {
  const cleanup = new AsyncDisposableStack();
  let mx: FakeMx;
  let directory: HttpPeer;
  let secrets: SecretsServer;
  let lambdas: LambdaApi;
  let scratch: Scratch;
  let config: Config;
  before(async () => {
    const keys = [{ domainName: "a.example", keySelector: "s1", privateKey }];
    mx = cleanup.use(await startFakeMx());
    directory = cleanup.use(
      await httpPeer(() => ({ status: 200, body: JSON.stringify({ dkim: { keys } }) })),
    );
    secrets = cleanup.use(await startSecretsServer());
    scratch = cleanup.use(await scratchFolder());
    config = configOf(mx, directory);
    lambdas = cleanup.use(await startLambdaApi(config));
    const document = await readFile(fileURLToPath(lambdas.env["ZONEFLEET_SECRET"] ?? ""), "utf8");
    secrets.secrets.set(NAME, document);
  });
  after(() => cleanup.disposeAsync());

  /** Of a sender on a host of its own. */
  async function environment(): Promise<Record<string, string>> {
    const file = join(scratch.folder, "zonefleet.deployed.json");
    await writeFile(file, printDeployedConfig(config));
    return {
      ...lambdas.env,
      ...secrets.env,
      AWS_REGION: lambdas.env["AWS_REGION"] ?? "",
      ZONEFLEET_BACKEND: "aws",
      ZONEFLEET_SECRET: NAME,
      ZONEFLEET_CONFIG: file,
    };
  }

  async function sender(): Promise<RelayProcess> {
    return startRelayProcess({ scratch, processes: 1, env: await environment() });
  }

  test("are put back by the sender: its TLS key, and the key that opens what a Lambda has sealed", async () => {
    const authorization = await apiKey(lambdas);
    const body = JSON.stringify(mail);
    const headers = { authorization, "content-type": "application/json" };
    const sent = await lambdas.ask({ method: "POST", path: "/send", headers, body });
    assert.equal(sent.status, 200, sent.text);
    assert.equal(directory.asked.length, 1, "its URL was in the secret");
    const { dynamo } = (await sharedLocalAws()).clients;
    const { Items } = await dynamo.send(new ScanCommand({ TableName: lambdas.names.table }));
    assert.doesNotMatch(JSON.stringify(Items), /PRIVATE KEY/);
    await using relay = await sender();
    assert.match(await greetingOverTls(relay.smtpPort), /^220 mail\.example /);
    // Without the Lambda that reads the table's stream, a sender finds new mail only when it looks at the index.
    const now = await lambdas.ask({
      method: "PUT",
      path: `/message/${sent.json.id}`,
      headers: { authorization },
    });
    assert.ok(now.status === 200 || now.status === 409, now.text); // 409: it has looked already, and sends it
    const [received] = await mx.waitFor(1, PATIENCE_MS);
    assert.match(received?.body.toString() ?? "", /^DKIM-Signature: [^]*d=a\.example;[^]*s=s1;/m);
  });

  test("that are not there keep a sender from starting, and a reload from changing anything, and are named", async () => {
    const whole = secrets.secrets.get(NAME) ?? "";
    const lacking = JSON.stringify({ sealKey: "k".repeat(64) });
    await using relay = await sender();
    secrets.secrets.set(NAME, lacking);
    relay.signal("SIGHUP");
    const told = /nothing has changed.* lacks .*smtpInterfaces\.feeder\.key.*zonefleet secrets push/;
    await until(() => told.test(relay.screen()));
    assert.match(await greetingOverTls(relay.smtpPort), /^220 /);
    await using other = await scratchFolder();
    await using refused = await startMain({ scratch: other, processes: 1, env: await environment() });
    assert.equal((await refused.ended).code, 1);
    assert.match(refused.screen(), /lacks .*plugins\.core\/http-config\.url/);
    assert.doesNotMatch(refused.screen(), /\n\s+at /, "no stack trace");
    secrets.secrets.set(NAME, whole);
    relay.signal("SIGHUP");
    await until(() => /was read again/.test(relay.screen()));
  });
});

function configOf(mx: FakeMx, directory: HttpPeer): Config {
  const zone = { host: "127.0.0.1", port: mx.port };
  return parseConfig(
    {
      hostname: "mail.example",
      zones: { default: zone, bounces: zone },
      smtpInterfaces: { feeder: { port: 0, secure: true, key: TEST_KEY, cert: TEST_CERT } },
      api: { port: 0 },
      dns: { blockLocalAddresses: false },
      plugins: { "core/http-config": { enabled: true, url: directory.url } },
    },
    { source: null, baseDir: "/" },
  );
}

async function apiKey({ names }: LambdaApi): Promise<string> {
  const { dynamo } = (await sharedLocalAws()).clients;
  const { sealing } = noDeploymentSecret;
  const store = dynamoSecretStore({ dynamo, table: names.table, clock: systemClock, sealing });
  const random = (bytes: number): Buffer => Buffer.alloc(bytes, 1);
  const made = await addApiKey(
    { secrets: store, clock: systemClock, random },
    { scopes: ["send", "admin"], label: "" },
  );
  return `Bearer ${made.key}`;
}

function greetingOverTls(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, ca: TEST_CERT, servername: "localhost" });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("no greeting")));
    socket.once("error", reject);
    socket.once("data", (chunk) => {
      resolve(chunk.toString());
      socket.destroy();
    });
  });
}

async function until(is: () => boolean): Promise<void> {
  const deadline = systemClock.now() + PATIENCE_MS;
  while (!is()) {
    assert.ok(systemClock.now() < deadline, "it did not come to that");
    await systemClock.sleep(50);
  }
}
