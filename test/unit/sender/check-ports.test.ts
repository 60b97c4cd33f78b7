/** Ports are tried before any worker shares them: real sockets on the loopback. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";

import type { Config } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { checkPorts } from "../../../sender/check-ports.ts";

function config(ports: { feeder: number; api: number; host?: string }): Config {
  const host = ports.host ?? "127.0.0.1";
  const input = {
    smtpInterfaces: { feeder: { host, port: ports.feeder, authentication: false } },
    api: { host: "127.0.0.1", port: ports.api },
  };
  return parseConfig(input, { source: null, baseDir: "/" });
}

/** A listener of somebody else. */
async function foreign(reusePort: boolean): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer();
  server.listen({ host: "127.0.0.1", port: 0, reusePort });
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

function refusal(path: string, ...patterns: RegExp[]) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof DomainError, String(error));
    assert.equal(error.path, path);
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  };
}

test("port 0 becomes a free port, the same for who asks later, and all are free again afterwards", async () => {
  const checked = await checkPorts(config({ feeder: 0, api: 0 }));
  const ports = [checked.smtpInterfaces[0]?.port ?? 0, checked.api.port];
  assert.ok(ports.every((port) => port > 0));
  assert.notEqual(ports[0], ports[1]);
  assert.deepEqual(await checkPorts(checked), checked);
});

for (const reusePort of [false, true]) {
  test(`a port that somebody listens on ${reusePort ? "and would share " : ""}is refused with the key to change`, async () => {
    await using taken = await foreign(reusePort);
    const patterns = [new RegExp(`port ${taken.port} is taken`), /ss -ltnp/];
    await assert.rejects(
      checkPorts(config({ feeder: taken.port, api: 0 })),
      refusal("smtpInterfaces.feeder", /smtpInterfaces\.feeder\.port/, ...patterns),
    );
    await assert.rejects(
      checkPorts(config({ feeder: 0, api: taken.port })),
      refusal("api", /api\.port/, ...patterns),
    );
  });
}

test("what is not asked for is not checked", async () => {
  await using taken = await foreign(false);
  const { api, ...rest } = config({ feeder: 0, api: taken.port });
  await checkPorts({ ...rest, api: { ...api, enabled: false } });
});

test("one port for two keys is refused", async () => {
  const { port } = (await checkPorts(config({ feeder: 0, api: 0 }))).api;
  await assert.rejects(async () => checkPorts(config({ feeder: port, api: port })), DomainError);
});

describe("on a reload,", () => {
  test("another address of a port that our workers listen on is found free, and so is the way back", async () => {
    await using ours = await foreign(true);
    const one = config({ feeder: ours.port, api: 0 });
    const all = config({ feeder: ours.port, api: 0, host: "0.0.0.0" });
    assert.equal((await checkPorts(all, one)).smtpInterfaces[0]?.port, ours.port);
    assert.equal((await checkPorts(one, all)).smtpInterfaces[0]?.port, ours.port);
  });

  test("another address of such a port that somebody else has alone is refused", async () => {
    await using taken = await foreign(false);
    const running = config({ feeder: taken.port, api: 0, host: "127.0.0.2" });
    await assert.rejects(
      checkPorts(config({ feeder: taken.port, api: 0 }), running),
      refusal("smtpInterfaces.feeder", new RegExp(`port ${taken.port} is taken`)),
    );
  });
});

test("an address of another machine is refused with the key to change", async () => {
  await assert.rejects(
    checkPorts(config({ feeder: 0, api: 0, host: "192.0.2.1" })),
    refusal(
      "smtpInterfaces.feeder",
      /192\.0\.2\.1 is not an address of this machine/,
      /smtpInterfaces\.feeder\.host/,
    ),
  );
});
