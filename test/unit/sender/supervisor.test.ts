/** Workers that take too long, by a clock that is told the time. (What they do in good time is in test/faults/supervisor.test.ts.) */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { createLog } from "#shared/runtime/log.ts";
import { checkPorts } from "../../../sender/check-ports.ts";
import { supervise } from "../../../sender/supervisor.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const FAKE_WORKER = join(import.meta.dirname, "../../support/fake-worker.ts");

/** A supervisor in this process, with one worker that does `wrong`, on a clock of the test. */
async function supervised(wrong: string) {
  process.env["FAKE_WORKER"] = wrong; // workers inherit it; the tests of this file come one after another
  const dataDir = await mkdtemp(join(tmpdir(), "zonefleet-supervised-"));
  const input = { smtpInterfaces: {}, api: { host: "127.0.0.1", port: 0 } };
  const config = await checkPorts(parseConfig(input, { source: null, baseDir: dataDir }));
  const clock = fakeClock();
  const stop = new AbortController();
  const cut = new AbortController();
  const lines: Record<string, unknown>[] = [];
  let changed = Promise.withResolvers<void>();
  const write = (line: string): void => {
    lines.push(JSON.parse(line) as Record<string, unknown>);
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const ended = supervise({
    workerPath: FAKE_WORKER,
    settings: {
      config,
      source: null,
      secretsElsewhere: false,
      backend: "embedded",
      dataDir,
      processes: 1,
      logLevel: "info",
      aws: null,
    },
    hostname: "test",
    clock,
    log: createLog({ level: "info" }, { write }),
    stop: stop.signal,
    cut: cut.signal,
    onReady: () => undefined,
  });
  return {
    clock,
    stop,
    ended,
    lines,
    /** The `count`th line with that `msg`, now or later. */
    async line(msg: string, count = 1) {
      for (;;) {
        const found = lines.filter((line) => line["msg"] === msg)[count - 1];
        if (found) return found;
        await changed.promise;
      }
    },
    async [Symbol.asyncDispose]() {
      cut.abort();
      await ended;
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Sleepers come with the messages of a real process: wait for them in turns of the loop. */
async function asleep(clock: { readonly sleepers: number }, count: number): Promise<void> {
  while (clock.sleepers < count) await new Promise((resolve) => setImmediate(resolve));
}

test("a worker that does not come to listen, nor to recover, is killed", { timeout: 20_000 }, async () => {
  await using supervisor = await supervised("hang");
  await asleep(supervisor.clock, 2); // for its recovery and for its being ready
  await supervisor.clock.advance(MINUTE);
  const died = await supervisor.line("worker died");
  assert.equal(died["signal"], "SIGKILL");
  assert.equal(died["wasReady"], false);
});

test("a worker that does not end when drained is killed within 30 seconds", { timeout: 20_000 }, async () => {
  await using supervisor = await supervised("stubborn");
  await supervisor.line("worker ready");
  supervisor.stop.abort();
  let over = false;
  const ended = supervisor.ended.then((end) => {
    over = true;
    return end;
  });
  await supervisor.clock.advance(28 * SECOND);
  assert.equal(over, false, "it has its time");
  await supervisor.clock.advance(2 * SECOND);
  assert.deepEqual(await ended, { kind: "drained" });
});

test("a worker whose event loop hangs is killed and replaced", { timeout: 20_000 }, async () => {
  await using supervisor = await supervised("");
  const ready = await supervisor.line("worker ready");
  process.kill(Number(ready["workerPid"]), "SIGSTOP"); // it runs no further, and its sockets stay open
  for (let waited = 0; waited < 90; waited++) await supervisor.clock.advance(SECOND);
  assert.equal((await supervisor.line("worker does not answer"))["worker"], ready["worker"]);
  const died = await supervisor.line("worker died");
  assert.equal(died["signal"], "SIGKILL");
  assert.equal(died["wasReady"], true);
  await asleep(supervisor.clock, 1); // before the replacement
  await supervisor.clock.advance(SECOND);
  const replacement = await supervisor.line("worker ready", 2);
  assert.equal(replacement["index"], ready["index"]);
});

test("a worker that answers is left alone, however long it lives", { timeout: 20_000 }, async () => {
  await using supervisor = await supervised("");
  const ready = await supervisor.line("worker ready");
  const [{ port }] = ready["listens"] as [{ port: number }];
  for (let rounds = 0; rounds < 20; rounds++) {
    await supervisor.clock.advance(30 * SECOND);
    // Its loop has turned, and the answer that it gave before this one is here.
    for (let i = 0; i < 3; i++) await (await fetch(`http://127.0.0.1:${port}/`)).text();
  }
  assert.deepEqual(
    supervisor.lines.map((line) => line["msg"]).filter((msg) => /died|not answer/.test(String(msg))),
    [],
  );
});
