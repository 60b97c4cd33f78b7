/** One HTTP server in the place of all services of AWS, for how clients behave on the wire. */

import { once } from "node:events";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

import { awsClients } from "#shared/aws/clients.ts";
import type { AwsClients } from "#shared/aws/clients.ts";

/** Clients that ask `listener`, whatever they ask for. Both end with the test. */
export async function clientsOfStandIn(
  context: TestContext,
  listener: RequestListener,
): Promise<{ clients: AwsClients; url: string }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clients = awsClients({
    endpoints: { dynamo: url, sqs: url, s3: url },
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  });
  context.after(() => clients.close());
  return { clients, url };
}
