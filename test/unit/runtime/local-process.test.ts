import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";

import { MINUTE } from "#shared/domain/units.ts";
import { freePorts, stopProcess } from "#shared/runtime/local-process.ts";

test("free ports are all different, and can be listened on", async () => {
  const ports = await freePorts(3);
  assert.equal(new Set(ports).size, 3);
  for (const port of ports) {
    const server = createServer().listen(port, "127.0.0.1");
    await once(server, "listening");
    await new Promise((resolve) => server.close(resolve));
  }
});

test(
  "a process that is told to stop may end by itself, and is killed when it does not",
  { timeout: 20_000 },
  async () => {
    for (const [onTerm, graceMs, code, signal] of [
      ["process.exit(3)", MINUTE, 3, null],
      ["0", 1, null, "SIGKILL"],
    ] as const) {
      const source = `process.on("SIGTERM", () => { ${onTerm} }); setInterval(() => 0, 1000); console.log("up")`;
      const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "ignore"] });
      await once(child.stdout, "data");
      await stopProcess(child, graceMs);
      assert.deepEqual([child.exitCode, child.signalCode], [code, signal]);
      await stopProcess(child, graceMs); // it is gone: nothing to wait for
    }
  },
);
