/** The contract over the stand-in that other tests use, and over EC2's own protocol; and what only the latter has. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ec2ElasticAddresses } from "#shared/aws/elastic-addresses.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { startEc2Server } from "../support/ec2-server.ts";
import { fakeEc2 } from "../support/fake-ec2.ts";
import { elasticAddressesContract } from "./elastic-addresses.contract.ts";

const INSTALLATION = "zonefleet-test";
const credentials = { accessKeyId: "test", secretAccessKey: "test" };

elasticAddressesContract("the stand-in", async (names) => {
  const fake = fakeEc2({ clock: systemClock, names });
  return {
    fake,
    async host(networkInterface, places) {
      const host = fake.host(networkInterface, places);
      return { host, elastic: host };
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
});

async function overHttp(names: readonly string[]) {
  const fake = fakeEc2({ clock: systemClock, names });
  const server = await startEc2Server({ fake, installation: INSTALLATION });
  const opened = new AsyncDisposableStack();
  opened.use(server);
  return {
    fake,
    server,
    async host(networkInterface: string, places: readonly string[]) {
      const instance = await server.addInstance(networkInterface, places);
      const { env } = instance;
      const elastic = ec2ElasticAddresses({
        installation: INSTALLATION,
        env,
        region: "us-east-1",
        credentials,
      });
      opened.defer(() => elastic.close());
      return { host: instance.host, elastic, instance };
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

elasticAddressesContract("EC2's protocol", overHttp);

test("a call that EC2 refuses as one too many is made again", async () => {
  await using ec2 = await overHttp(["m1.example"]);
  const { elastic } = await ec2.host("eni-1", ["10.25.0.10"]);
  ec2.server.throttled = 1;
  assert.equal((await elastic.list()).length, 1);
  assert.deepEqual(ec2.server.calls, ["DescribeAddresses", "DescribeAddresses"]);
});

test("a token of the instance metadata that is over is replaced by another", async () => {
  await using ec2 = await overHttp(["m1.example"]);
  const { elastic, instance } = await ec2.host("eni-1", ["10.25.0.10"]);
  const before = await elastic.host();
  instance.forgetTokens();
  assert.deepEqual(await elastic.host(), before);
});

test("instance metadata that is not there is a failure in bounded time", async () => {
  const env = { AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1" };
  const elastic = ec2ElasticAddresses({ installation: INSTALLATION, env, region: "us-east-1", credentials });
  await assert.rejects(elastic.isEnding(), /fetch failed/);
  elastic.close();
});
