/** Commands that work on a deployment, by somebody whom AWS does not let in: what to do, and no stack trace. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const CLI = fileURLToPath(new URL("../../../cli/main.ts", import.meta.url));
const REGION = { AWS_REGION: "eu-central-1" };
const CREDENTIALS = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" };

/** AWS, to somebody whose session is over. */
const aws = createServer((request, response) => {
  request.resume();
  response.writeHead(400, { "content-type": "application/x-amz-json-1.0" });
  response.end(JSON.stringify({ __type: "ExpiredTokenException", message: "The security token is expired" }));
});
let home: string;
let endpoint: string;
before(async () => {
  home = await mkdtemp(join(tmpdir(), "zonefleet-cli-"));
  aws.listen(0, "127.0.0.1");
  await once(aws, "listening");
  endpoint = `http://127.0.0.1:${(aws.address() as AddressInfo).port}`;
});
after(async () => {
  aws.close();
  await rm(home, { recursive: true, force: true });
});

function zonefleet(args: string, env: object): Promise<{ code: unknown; err: string }> {
  const settings = {
    ZONEFLEET_BACKEND: "aws",
    ZONEFLEET_TABLE: "zonefleet-test",
    ZONEFLEET_SECRET: "zonefleet-test",
  };
  // Nothing of whoever runs the tests, and no host to ask for credentials.
  const options = {
    cwd: home,
    env: { HOME: home, AWS_EC2_METADATA_DISABLED: "true", ...settings, ...env },
    timeout: 30_000,
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, ...args.split(" ")], options, (error, _out, err) => {
      resolve({ code: error?.code ?? 0, err });
    });
  });
}

describe("a command that AWS does not let do its work", () => {
  const cases: [why: string, env: () => object, says: RegExp][] = [
    ["nobody is signed in", () => REGION, /^zonefleet: no AWS credentials: .*AWS_PROFILE/],
    ["no region is named", () => CREDENTIALS, /^zonefleet: no AWS region: set AWS_REGION/],
    [
      "the session is over",
      () => ({ ...REGION, ...CREDENTIALS, AWS_ENDPOINT_URL: endpoint }),
      /^zonefleet: AWS: ExpiredTokenException: The security token is expired\nSee that the credentials/,
    ],
  ];
  for (const [why, env, says] of cases)
    test(`says what to do when ${why}`, async () => {
      for (const command of ["api-key list", "secrets"]) {
        const { code, err } = await zonefleet(command, env());
        assert.match(err, says, command);
        assert.doesNotMatch(err, /^\s+at /m, command);
        assert.equal(code, 1);
      }
    });
});
