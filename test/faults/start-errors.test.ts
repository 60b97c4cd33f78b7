/** What an operator can get wrong before the start: each time a message that says what to change, exit code 1, and nothing damaged. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { sendByHttp } from "../support/mail-load.ts";
import { allFinal, messageView } from "../support/relay-api.ts";
import type { ProcessOptions } from "../support/relay-process.ts";
import { scratchFolder, startMain, startRelayProcess } from "../support/relay-process.ts";

const TIMEOUT_MS = 30 * SECOND;

/** Start, expect it to end with 1 by itself, and return what was on the screen. */
async function refusal(options: ProcessOptions): Promise<string> {
  await using main = await startMain({ processes: 1, ...options });
  assert.deepEqual(await main.ended, { code: 1, signal: null });
  await main.allGone();
  const screen = main.screen();
  assert.doesNotMatch(screen, /\n\s+at /, "no stack trace");
  return screen;
}

const options = { timeout: TIMEOUT_MS };

describe("a relay that cannot start says why, and ends with 1:", () => {
  const configs: [name: string, config: ConfigInput | string, message: RegExp][] = [
    [
      "a key with a typo",
      `{"smtpInterface": {"feeder": {"port": 2525}}}`,
      /zonefleet\.config\.json: smtpInterface: unknown key; did you mean smtpInterfaces\?/,
    ],
    [
      "a key with a typo further down",
      `{"zones": {"default": {"conections": 3}}}`,
      /zones\.default\.conections: unknown key; did you mean connections\?/,
    ],
    ["a value of the wrong kind", `{"queue": {"deferTimes": ["5m"]}}`, /queue\.deferTimes\[?\.?0\]?: /],
    ["a file that is no JSON", `{"api": {"port": 0},`, /zonefleet\.config\.json: .*JSON/],
    [
      "a TLS key file that is not there",
      { smtpInterfaces: { feeder: { port: 0, starttls: true, key: "no-key.pem", cert: "no-cert.pem" } } },
      /smtpInterfaces\.feeder\.key: cannot read .*no-key\.pem: no such file/,
    ],
    [
      "an Elastic IP on one machine",
      { pools: { default: [{ address: "elastic", name: "m1.example.com" }] } },
      /^zonefleet: pools: Elastic IPs \(m1\.example\.com\) are those of a deployment on AWS: name the IP addresses of this machine$/m,
    ],
    [
      "an API that the whole world could use",
      { api: { host: "0.0.0.0", port: 0 } },
      /api.*(?:key|loopback)/i,
    ],
  ];
  for (const [name, config, message] of configs) {
    test(name, options, async () => {
      await using scratch = await scratchFolder();
      assert.match(await refusal({ scratch, config }), message);
    });
  }

  const environments: [name: string, env: Record<string, string>, message: RegExp][] = [
    [
      "a configuration file that is not there",
      { ZONEFLEET_CONFIG: "/nowhere/zonefleet.config.ts" },
      /ZONEFLEET_CONFIG: there is no file \/nowhere\/zonefleet\.config\.ts/,
    ],
    [
      "Elastic IPs on AWS outside of a deployment",
      { ZONEFLEET_BACKEND: "aws", ZONEFLEET_CONFIG: "docs/aws/zonefleet.config.ts" },
      /^zonefleet: pools: Elastic IPs \(m1\..*\) .*: its hosts have ZONEFLEET_INSTALLATION set$/m,
    ],
    [
      "a host of a deployment that nobody knows",
      {
        ZONEFLEET_BACKEND: "aws",
        ZONEFLEET_INSTALLATION: "zonefleet-test",
        AWS_REGION: "us-east-1",
        AWS_EC2_METADATA_SERVICE_ENDPOINT: "http://127.0.0.1:1",
      },
      /^zonefleet: ZONEFLEET_INSTALLATION is set, and this host cannot be asked what it is: /m,
    ],
    [
      "an unknown backend",
      { ZONEFLEET_BACKEND: "azure" },
      /ZONEFLEET_BACKEND: expected one of embedded, aws, found "azure"/,
    ],
    [
      "a number of processes that is none",
      { ZONEFLEET_PROCESSES: "many" },
      /ZONEFLEET_PROCESSES: expected a whole number .*found "many"/,
    ],
    ["an unknown log level", { LOG_LEVEL: "loud" }, /LOG_LEVEL: expected one of .*found "loud"/],
  ];
  for (const [name, env, message] of environments) {
    test(name, options, async () => {
      await using scratch = await scratchFolder();
      assert.match(await refusal({ scratch, env }), message);
    });
  }

  test("a data folder that is a file, which stays as it is", options, async () => {
    await using scratch = await scratchFolder();
    await writeFile(scratch.data, "mine");
    const screen = await refusal({ scratch });
    assert.match(screen, /cannot use the data folder .*data: .*is not a folder.*ZONEFLEET_DATA/);
    assert.equal(await readFile(scratch.data, "utf8"), "mine");
  });

  test("a data folder on a disk that is read-only", options, async (t) => {
    await using scratch = await scratchFolder();
    await mkdir(scratch.data);
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", scratch.data]).status !== 0)
      return t.skip("only root may mount a disk");
    try {
      assert.match(await refusal({ scratch }), /cannot use the data folder .*read-only.*ZONEFLEET_DATA/);
    } finally {
      spawnSync("umount", [scratch.data]);
    }
  });

  test("a store that is damaged, which stays as it is", options, async () => {
    await using scratch = await scratchFolder();
    await mkdir(scratch.data);
    const store = join(scratch.data, "store.mdb");
    const damaged = Buffer.alloc(65_536, "this is no store\n");
    await writeFile(store, damaged);
    assert.match(
      await refusal({ scratch }),
      /store\.mdb in the data folder .* is damaged.*put a backup in its place/,
    );
    assert.ok((await readFile(store)).equals(damaged));
  });

  test("a port that is taken, with the key, the address and what to do", options, async () => {
    await using scratch = await scratchFolder();
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const smtp = await refusal({ scratch, config: { smtpInterfaces: { feeder: { port } } } });
    assert.match(
      smtp,
      new RegExp(
        `port ${port} is taken: .*127\\.0\\.0\\.1:${port}.*set smtpInterfaces\\.feeder\\.port to a free port`,
      ),
    );
    const http = await refusal({ scratch, config: { api: { port } } });
    assert.match(http, new RegExp(`127\\.0\\.0\\.1:${port}.*set api\\.port to a free port`));
    other.close();
  });

  test("a data folder that another relay works on, which goes on undisturbed", options, async () => {
    await using scratch = await scratchFolder();
    await using mx = await startFakeMx();
    const config: ConfigInput = { zones: { default: { host: "127.0.0.1", port: mx.port } } };
    await using first = await startRelayProcess({ scratch, config, processes: 1 });
    const same = await refusal({ scratch, config });
    assert.match(
      same,
      new RegExp(`runs on the data folder .* already: process ${first.pid}, .*with the same configuration`),
    );
    assert.match(same, /ZONEFLEET_DATA/);
    const different = await refusal({ scratch, config: { ...config, name: "Second" } });
    assert.match(different, /with a different configuration\. Stop it first/);
    const probe = { number: 1, returnPath: "a@origin.test", id: null };
    const id = await sendByHttp(first.httpUrl, {
      ...probe,
      recipients: [{ address: "b@probe.test", fate: "DELIVERED" }],
    });
    await allFinal(first.httpUrl, TIMEOUT_MS);
    assert.equal((await messageView(first.httpUrl, id))?.messages[0]?.status, "DELIVERED");
  });
});
