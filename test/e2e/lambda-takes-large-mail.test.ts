/** Mail that no Lambda can take whole, as its sender meets it: refused with the way named, uploaded, sent by its id, once. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addApiKey } from "#shared/app/api-keys.ts";
import { noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { dynamoSecretStore } from "#shared/aws/secret-store.ts";
import { MIB } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import type { LambdaAnswer, LambdaApi } from "../support/lambda-api.ts";
import { startLambdaApi } from "../support/lambda-api.ts";
import { noLocalAws } from "../support/local-aws.ts";

const head = "From: anna@example.com\r\nTo: ben@example.net\r\nSubject: large\r\n\r\n";
const mail = `${head}${"0123456789abcdef".repeat(5).concat("\r\n").repeat(80_000)}`;
const MAX_SIZE = 7 * MIB;

const skip = noLocalAws();
stopLocalAwsAtEnd();

describe("a mail of over 6 MB behind API Gateway", { skip }, () => {
  let lambdas: LambdaApi;
  let authorization: string;
  before(async () => {
    const config = parseConfig(
      { hostname: "mail.example", api: { maxSize: MAX_SIZE } },
      { source: null, baseDir: "/" },
    );
    lambdas = await startLambdaApi(config);
    const { dynamo } = (await sharedLocalAws()).clients;
    const secrets = dynamoSecretStore({
      dynamo,
      table: lambdas.names.table,
      clock: systemClock,
      sealing: noDeploymentSecret.sealing,
    });
    const { key } = await addApiKey(
      { secrets, clock: systemClock, random: randomBytes },
      { scopes: ["send", "read"], label: "" },
    );
    authorization = `Bearer ${key}`;
  });
  after(async () => {
    await lambdas?.[Symbol.asyncDispose]();
  });

  const ask = (
    method: string,
    path: string,
    { headers = {}, body }: { headers?: Record<string, string>; body?: string } = {},
  ): Promise<LambdaAnswer> =>
    lambdas.ask({
      method,
      path,
      headers: { authorization, ...headers },
      ...(body === undefined ? {} : { body }),
    });

  async function upload(content: string): Promise<string> {
    const { status, json, text } = await ask("POST", "/uploads");
    assert.equal(status, 200, text);
    assert.deepEqual([json.method, json.maxSize], ["PUT", MAX_SIZE]);
    const put = await fetch(json.url, {
      method: json.method,
      body: content,
      signal: AbortSignal.timeout(20_000),
    });
    assert.equal(put.status, 200, await put.text());
    return json.id;
  }

  test("is refused in a request, with the route to upload it by", async () => {
    const { status, json } = await ask("POST", "/send-raw", { body: mail.slice(0, 4_600_000) });
    assert.deepEqual([status, json.code], [413, "too-large"]);
    assert.match(json.error, /POST \/uploads/);
  });

  test("is uploaded and sent under its upload's id, whole, and once", async () => {
    const id = await upload(mail);
    const sent = await ask("POST", `/send-raw?upload=${id}`);
    assert.deepEqual([sent.status, sent.json.id, sent.json.to], [200, id, ["ben@example.net"]], sent.text);
    const { meta } = (await ask("GET", `/message/${id}`)).json;
    assert.deepEqual([meta.subject, meta.bodySize], ["large", mail.length - head.length]);
    const again = await ask("POST", `/send-raw?upload=${id}`);
    assert.deepEqual([again.status, again.json.code, again.json.path], [409, "conflict", "upload"]);
  });

  test("is sent once when it is asked for twice at once", async () => {
    const id = await upload(mail);
    const answers = await Promise.all([1, 2].map(() => ask("POST", `/send-raw?upload=${id}`)));
    assert.deepEqual(
      answers.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, 409],
    );
  });

  test("is answered alike under an Idempotency-Key, and no other upload is sent under it", async () => {
    const [id, other] = [await upload(head), await upload(head)];
    const headers = { "idempotency-key": "large order" };
    const first = await ask("POST", `/send-raw?upload=${id}`, { headers });
    const second = await ask("POST", `/send-raw?upload=${id}`, { headers });
    assert.deepEqual([first.status, second.text], [200, first.text]);
    assert.equal(second.headers["idempotent-replayed"], "true");
    assert.equal((await ask("POST", `/send-raw?upload=${other}`, { headers })).status, 422);
  });

  test("is not there when nothing was put, or its id is none", async () => {
    const { json } = await ask("POST", "/uploads");
    for (const id of [json.id, "01hzzzzzzzzzzzzzzzzzzzzzzz", "nonsense"]) {
      const answer = await ask("POST", `/send-raw?upload=${id}`);
      assert.deepEqual([answer.status, answer.json.code], [404, "not-found"], id);
    }
  });

  test("that is larger than mail may be is refused when it is sent", async () => {
    const id = await upload(mail + "x".repeat(MIB));
    const { status, json } = await ask("POST", `/send-raw?upload=${id}`);
    assert.deepEqual([status, json.code], [413, "message-too-large"]);
  });

  test("needs a key to be uploaded", async () => {
    const { status } = await lambdas.ask({ method: "POST", path: "/uploads" });
    assert.equal(status, 401);
  });
});
