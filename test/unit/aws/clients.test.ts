import assert from "node:assert/strict";
import { test } from "node:test";

import { ListTablesCommand } from "@aws-sdk/client-dynamodb";
import { HeadBucketCommand } from "@aws-sdk/client-s3";
import { DeleteMessageCommand, ReceiveMessageCommand } from "@aws-sdk/client-sqs";

import { endpointsOf } from "#shared/aws/clients.ts";
import { SECOND } from "#shared/domain/units.ts";
import { clientsOfStandIn } from "../../support/aws-stand-in.ts";

test("one variable leads to all services, one of a service to that, and an empty one nowhere", () => {
  const none = { dynamo: null, sqs: null, s3: null };
  assert.deepEqual(endpointsOf({}), none);
  assert.deepEqual(endpointsOf({ AWS_ENDPOINT_URL: "" }), none);
  const all = { AWS_ENDPOINT_URL: "http://a.example" };
  assert.deepEqual(endpointsOf(all), {
    dynamo: "http://a.example",
    sqs: "http://a.example",
    s3: "http://a.example",
  });
  assert.deepEqual(
    endpointsOf({ ...all, AWS_ENDPOINT_URL_S3: "http://s3.example", AWS_ENDPOINT_URL_SQS: "" }),
    {
      dynamo: "http://a.example",
      sqs: "http://a.example",
      s3: "http://s3.example",
    },
  );
});

interface Ends {
  readonly connectionTimeout?: number;
  readonly requestTimeout?: number;
  readonly socketTimeout?: number;
  readonly throwOnRequestTimeout?: boolean;
}

/** The types of a client do not say that its handler is the one that we gave options for. */
function endsOf(handler: object): Ends {
  return (handler as { httpHandlerConfigs(): Ends }).httpHandlerConfigs();
}

test(
  "the long polls of many zones leave connections for the calls beside them",
  { timeout: 30_000 },
  async (context) => {
    const ZONES = 100;
    let polls = 0;
    const allPoll = Promise.withResolvers<void>();
    const { clients, url } = await clientsOfStandIn(context, (request, response) => {
      const isPoll = String(request.headers["x-amz-target"]).endsWith("ReceiveMessage");
      request.resume();
      if (isPoll && ++polls === ZONES) allPoll.resolve();
      if (!isPoll) response.writeHead(200, { "content-type": "application/x-amz-json-1.0" }).end("{}");
    });
    const QueueUrl = `${url}/000000000000/q`;
    const over = new AbortController();
    const polling = Array.from({ length: ZONES }, () =>
      clients.sqs
        .send(new ReceiveMessageCommand({ QueueUrl }), { abortSignal: over.signal })
        .catch(() => null),
    );
    await allPoll.promise;
    await clients.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: "r" }));
    over.abort();
    await Promise.all(polling);
  },
);

test("calls go to the endpoint over kept connections, whatever host a queue URL names, and all of them end", async (context) => {
  const asked: { host: string | undefined; path: string | undefined; port: number | undefined }[] = [];
  const { clients, url } = await clientsOfStandIn(context, (request, response) => {
    request.resume();
    asked.push({ host: request.headers.host, path: request.url, port: request.socket.remotePort });
    response.writeHead(200, { "content-type": "application/x-amz-json-1.0" }).end("{}");
  });

  for (let i = 0; i < 2; i++) await clients.dynamo.send(new ListTablesCommand({}));
  assert.equal(asked[0]?.port, asked[1]?.port, "the connection is kept");
  const QueueUrl = "http://sqs.us-east-1.nowhere.invalid/000000000000/q";
  await clients.sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: "r" }));
  await clients.s3.send(new HeadBucketCommand({ Bucket: "bucket" }));
  assert.equal(asked.length, 4);
  for (const { host } of asked) assert.equal(`http://${host}`, url);
  assert.match(asked[3]?.path ?? "", /^\/bucket/, "a bucket is a path here");

  // To wait for the ends themselves would take a minute.
  for (const { config } of [clients.dynamo, clients.sqs, clients.s3]) {
    assert.equal(await config.maxAttempts(), 3);
    const ends = endsOf(config.requestHandler);
    assert.ok(ends.connectionTimeout && ends.connectionTimeout <= 2 * SECOND);
    assert.ok(ends.requestTimeout && ends.requestTimeout <= 30 * SECOND);
    assert.ok(ends.socketTimeout && ends.socketTimeout <= 30 * SECOND);
    assert.equal(ends.throwOnRequestTimeout, true, "the SDK would only warn");
  }
});
