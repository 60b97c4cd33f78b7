/** A stored mail that no Lambda can answer with, as its reader gets it: by a URL of S3, without showing S3 the API key. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";

import { addApiKey } from "#shared/app/api-keys.ts";
import { noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { dynamoSecretStore } from "#shared/aws/secret-store.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { apiClient } from "../../cli/api-client.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { httpPeer } from "../support/http-peer.ts";
import type { LambdaApi } from "../support/lambda-api.ts";
import { startLambdaApi } from "../support/lambda-api.ts";
import { noLocalAws } from "../support/local-aws.ts";

const head = "From: anna@example.com\r\nTo: ben@example.net\r\nSubject: large\r\n\r\n";
const large = `${head}${"0123456789abcdef".repeat(5).concat("\r\n").repeat(70_000)}`;

stopLocalAwsAtEnd();

describe("a stored mail of over 4.5 MB behind API Gateway", { skip: noLocalAws() }, () => {
  let lambdas: LambdaApi;
  let key: string;
  before(async () => {
    const config = parseConfig({ hostname: "mail.example" }, { source: null, baseDir: "/" });
    lambdas = await startLambdaApi(config);
    const { dynamo } = (await sharedLocalAws()).clients;
    const { table } = lambdas.names;
    const { sealing } = noDeploymentSecret;
    const secrets = dynamoSecretStore({ dynamo, table, clock: systemClock, sealing });
    const made = await addApiKey(
      { secrets, clock: systemClock, random: randomBytes },
      { scopes: ["send", "read"], label: "" },
    );
    key = made.key;
  });
  after(async () => {
    await lambdas?.[Symbol.asyncDispose]();
  });

  const ask = (method: string, path: string) =>
    lambdas.ask({ method, path, headers: { authorization: `Bearer ${key}` } });

  /** Sent by an upload. Resolves with its id and how it is stored. */
  async function stored(content: string): Promise<{ id: string; bytes: number }> {
    const { json } = await ask("POST", "/uploads");
    const put = await fetch(json.url, { method: "PUT", body: content, signal: AbortSignal.timeout(20_000) });
    assert.equal(put.status, 200, await put.text());
    const sent = await ask("POST", `/send-raw?upload=${json.id}`);
    assert.equal(sent.status, 200, sent.text);
    return { id: json.id, bytes: (await ask("GET", `/message/${json.id}`)).json.meta.size };
  }

  test("is answered by a URL that gives it whole, as what it is", async () => {
    const { id, bytes } = await stored(large);
    const { status, headers, text } = await ask("GET", `/fetch/${id}`);
    assert.deepEqual([status, headers["cache-control"], text], [307, "no-store", ""]);
    const answer = await fetch(headers["location"] ?? "", { signal: AbortSignal.timeout(20_000) });
    const content = await answer.text();
    assert.equal(answer.status, 200, content.slice(0, 300));
    assert.equal(Buffer.byteLength(content), bytes);
    assert.ok(content.endsWith(large.slice(-100_000)));
    const { searchParams } = new URL(headers["location"] ?? "");
    assert.ok(Number(searchParams.get("X-Amz-Expires")) <= 300, "for a short time");
    // The local S3 does not obey them; a server that does answers with these headers.
    assert.equal(searchParams.get("response-content-type"), "message/rfc822");
    assert.equal(searchParams.get("response-content-disposition"), `attachment; filename="${id}.eml"`);
  });

  test("is told of to HEAD by a URL that is signed for it", async () => {
    const { id, bytes } = await stored(large);
    const { status, headers } = await ask("HEAD", `/fetch/${id}`);
    assert.equal(status, 307);
    const answer = await fetch(headers["location"] ?? "", {
      method: "HEAD",
      signal: AbortSignal.timeout(20_000),
    });
    assert.deepEqual([answer.status, answer.headers.get("content-length")], [200, String(bytes)]);
  });

  test("is not given without its headers, and the answer says what to do", async () => {
    const { id } = await stored(large);
    const { status, json } = await ask("GET", `/fetch/${id}?body=yes`);
    assert.deepEqual([status, json.code], [413, "too-large"]);
    assert.match(json.error, /fetch the whole message/);
  });

  test("of less is answered here, as ever", async () => {
    const { id } = await stored(`${head}small\r\n`);
    const { status, text } = await ask("GET", `/fetch/${id}`);
    assert.equal(status, 200);
    assert.match(text, /small/);
    assert.equal((await ask("GET", `/fetch/${id}?body=yes`)).text, "small\r\n");
  });

  test("is for those with a key alone", async () => {
    const { id } = await stored(large);
    assert.equal((await lambdas.ask({ method: "GET", path: `/fetch/${id}` })).status, 401);
  });
});

describe("the command line", () => {
  test("follows a redirect of the API, and shows the other server no key", async () => {
    await using other = await httpPeer(() => ({ status: 200, body: "the mail" }));
    const api = createServer((_, response) => {
      response.writeHead(307, { location: `${other.url}/body?signed` }).end();
    });
    api.listen(0, "127.0.0.1");
    await once(api, "listening");
    try {
      const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
      const client = apiClient({ env: () => undefined }, { url, key: "id.secret" });
      assert.equal(await (await client.ask("GET", "/fetch/1")).text(), "the mail");
      assert.deepEqual(
        other.asked.map(({ headers }) => headers["authorization"]),
        [undefined],
      );
      await assert.rejects(client.ask("DELETE", "/message/1"), /answered 307/);
    } finally {
      api.closeAllConnections();
      api.close();
    }
  });
});
