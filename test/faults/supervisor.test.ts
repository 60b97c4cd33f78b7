/** Processes that die, hang, refuse to start or come twice: the real supervisor, with workers that have no mail. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";

const FAKE_SENDER = join(import.meta.dirname, "../support/fake-sender.ts");
const PATIENCE_MS = 20 * SECOND;

type Line = Readonly<Record<string, unknown>>;

interface Sender extends AsyncDisposable {
  readonly pid: number;
  /** Lines of the log so far, those of the workers included. */
  readonly lines: readonly Line[];
  /** Resolves with the exit code when no process of it is left. */
  readonly exited: Promise<number | null>;
  signal(name: NodeJS.Signals): void;
  /** The `count`th line with that `msg`, now or later. */
  line(msg: string, count?: number): Promise<Line>;
  /** Wait until the person at the screen has read what matches. */
  says(pattern: RegExp): Promise<void>;
  /** GET a path of the workers' server, over a connection of its own. */
  get(path: string): Promise<string>;
}

interface SenderOptions {
  readonly folder: string;
  readonly processes?: number;
  /** What is wrong with its workers (fake-worker.ts). */
  readonly worker?: string;
}

function startFakeSender({ folder, processes = 2, worker = "" }: SenderOptions): Sender {
  const child = spawn(process.execPath, [FAKE_SENDER], {
    cwd: folder,
    detached: true, // a group of its own, so that no worker outlives its test
    env: {
      ...process.env,
      ZONEFLEET_CONFIG: "config.json",
      ZONEFLEET_DATA: "data",
      ZONEFLEET_PROCESSES: String(processes),
      FAKE_WORKER: worker,
      LOG_LEVEL: "info",
    },
  });
  const lines: Line[] = [];
  let screen = "";
  let over = false;
  let changed = Promise.withResolvers<void>();
  const change = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  createInterface({ input: child.stdout }).on("line", (text) => {
    lines.push(JSON.parse(text) as Line);
    change();
  });
  child.stderr.on("data", (data) => {
    screen += String(data);
    change();
  });
  const exited = once(child, "close").then(([code]) => {
    over = true;
    change();
    return code as number | null;
  });
  /** Look again at each change, until it is there or can no longer come. */
  async function until<T>(what: string, look: () => T | undefined): Promise<T> {
    const tooLate = setTimeout(() => {
      over = true;
      change();
    }, PATIENCE_MS);
    try {
      for (;;) {
        const found = look();
        if (found !== undefined) return found;
        if (over) assert.fail(`${what} did not come:\n${JSON.stringify(lines, null, 1)}\n${screen}`);
        await changed.promise;
      }
    } finally {
      clearTimeout(tooLate);
    }
  }
  const line = (msg: string, count = 1): Promise<Line> =>
    until(`line ${count} of ${msg}`, () => lines.filter((one) => one["msg"] === msg)[count - 1]);
  return {
    pid: child.pid ?? assert.fail("no process"),
    lines,
    exited,
    signal: (name) => void child.kill(name),
    line,
    says: async (pattern) =>
      void (await until(String(pattern), () => (pattern.test(screen) ? true : undefined))),
    async get(path) {
      const listens = (await line("worker ready"))["listens"] as { port: number }[];
      const url = `http://127.0.0.1:${listens[0]?.port}${path}`;
      const response = await fetch(url, {
        headers: { connection: "close" },
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      return response.text();
    },
    async [Symbol.asyncDispose]() {
      try {
        process.kill(-(child.pid ?? 0), "SIGKILL");
      } catch {
        // all have ended
      }
      await exited;
    },
  };
}

async function scratch(config: object = {}): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-supervisor-"));
  const plain = { smtpInterfaces: {}, api: { host: "127.0.0.1", port: 0 }, ...config };
  await writeFile(join(path, "config.json"), JSON.stringify(plain));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function pidOf(line: Line): number {
  return Number(line["workerPid"]);
}

function recoveryOf(line: Line): { dead: string[]; living: string[] } {
  return line["recovery"] as { dead: string[]; living: string[] };
}

describe("a supervisor", () => {
  test("starts a worker for each process on the same port, and the first one recovers what a former run left", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path });
    const [first, second] = [await sender.line("fake started", 1), await sender.line("fake started", 2)];
    assert.deepEqual(recoveryOf(first), { dead: [], living: [first["worker"]] });
    assert.equal(second["recovery"], null, "nobody is taken for dead while others start");
    assert.deepEqual([first["index"], second["index"]], [0, 1]);
    const listens = [await sender.line("worker ready", 1), await sender.line("worker ready", 2)].map(
      (one) => one["listens"],
    );
    assert.deepEqual(listens[0], listens[1]);
    await sender.says(/HTTP +127\.0\.0\.1:\d+/);
    await sender.says(/curl http:\/\/127\.0\.0\.1:\d+\/send/);
  });

  test("replaces a worker that was killed, and has a living one take back what it had", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path });
    await sender.line("worker ready", 2);
    const victim = await sender.line("fake started", 1);
    process.kill(pidOf(victim), "SIGKILL");
    const recovering = await sender.line("fake recovers");
    assert.notEqual(recovering["worker"], victim["worker"]);
    assert.deepEqual(recoveryOf(recovering), { dead: [victim["worker"]], living: [recovering["worker"]] });
    const replacement = await sender.line("fake started", 3);
    assert.equal(replacement["index"], victim["index"]);
    assert.notEqual(replacement["worker"], victim["worker"], "a new one by another name");
    assert.equal(replacement["recovery"], null, "it was done already");
    await sender.line("worker ready", 3);
    const order = sender.lines.map((line) => line["msg"]);
    assert.ok(
      order.lastIndexOf("recovery done") < order.lastIndexOf("fake started"),
      "recovered before it was born",
    );
  });

  test("has the replacement itself recover when nobody else lives", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path, processes: 1 });
    const victim = await sender.line("worker ready");
    process.kill(pidOf(victim), "SIGKILL");
    const replacement = await sender.line("fake started", 2);
    assert.deepEqual(recoveryOf(replacement), { dead: [victim["worker"]], living: [replacement["worker"]] });
    await sender.line("worker ready", 2);
  });

  test("gives up with the worker's own words when it cannot start", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path, worker: "refuse" });
    assert.equal(await sender.exited, 1);
    await sender.says(/zonefleet: the store is upside down: turn it over/);
  });

  test("gives up when workers die at start again and again, each time after a longer wait", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path, processes: 1, worker: "crash" });
    assert.equal(await sender.exited, 1);
    await sender.says(/workers die at start \(exit code 7\)/);
    assert.equal(sender.lines.filter((line) => line["msg"] === "worker died").length, 5);
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`lets requests finish on ${signal}, then exits 0`, async () => {
      await using folder = await scratch();
      await using sender = startFakeSender({ folder: folder.path });
      await sender.line("worker ready", 2);
      const slow = sender.get("/slow");
      await sender.line("fake is slow");
      sender.signal(signal);
      assert.match(await slow, /^\d+$/);
      assert.equal(await sender.exited, 0);
      const ends = sender.lines.filter((line) => line["msg"] === "fake ends").length;
      assert.equal(ends, 2, "each worker drained");
      assert.equal(sender.lines.filter((line) => line["msg"] === "worker died").length, 0);
    });
  }

  test("ends at once on a second signal, with exit code 1 and no worker left", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path, worker: "stubborn" });
    await sender.line("worker ready", 2);
    sender.signal("SIGTERM");
    await sender.line("fake drains", 2);
    const before = Date.now();
    sender.signal("SIGTERM");
    assert.equal(await sender.exited, 1); // `close`: the workers have let go of stdout too
    assert.ok(Date.now() - before < 5 * SECOND);
  });

  test("drains one worker that gets a SIGTERM of its own, and replaces it", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path });
    await sender.line("worker ready", 2);
    const drained = await sender.line("fake started", 2);
    process.kill(pidOf(drained), "SIGTERM");
    assert.equal((await sender.line("fake ends"))["worker"], drained["worker"]);
    assert.equal((await sender.line("fake started", 3))["index"], drained["index"]);
  });

  test("answers a scrape of any worker with the sum of all, also of those that died", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path });
    await sender.line("worker ready", 2);
    const pushed = /zonefleet_message_push\{result="success"\} (\d+)/;
    for (let i = 0; i < 12; i++) await sender.get("/push");
    const before = await sender.get("/metrics");
    assert.equal(pushed.exec(before)?.[1], "12");
    assert.match(before, /zonefleet_queue_size\{type="queued"\} 5\n/, "what is in the store is not summed");
    process.kill(pidOf(await sender.line("fake started", 1)), "SIGKILL");
    await sender.line("worker ready", 3);
    await sender.get("/push");
    assert.equal(pushed.exec(await sender.get("/metrics"))?.[1], "13");
  });
});

describe("a data folder", () => {
  test("has one supervisor: a second one says who has it, and whether with the same configuration", async () => {
    await using folder = await scratch();
    await using sender = startFakeSender({ folder: folder.path });
    await sender.line("worker ready", 2);
    await using same = startFakeSender({ folder: folder.path });
    assert.equal(await same.exited, 1);
    await same.says(new RegExp(`process ${sender.pid}, since .* with the same configuration`));
    await same.says(/ZONEFLEET_DATA/);
    await writeFile(join(folder.path, "config.json"), JSON.stringify({ name: "Other", api: { port: 0 } }));
    await using other = startFakeSender({ folder: folder.path });
    assert.equal(await other.exited, 1);
    await other.says(new RegExp(`kill ${sender.pid}.* so that this configuration takes effect`));
    assert.match(await sender.get("/"), /^\d+$/, "the first one is not disturbed");
  });

  test("is free when its supervisor was killed, but not before the workers it left have finished", async () => {
    await using folder = await scratch();
    await using killed = startFakeSender({ folder: folder.path, worker: "slow" });
    await killed.line("worker ready", 2);
    killed.signal("SIGKILL");
    await using next = startFakeSender({ folder: folder.path });
    const born = await next.line("fake started");
    await next.says(/Waiting for the workers of the former ZoneFleet/);
    await killed.exited; // `close`: all have let go of stdout
    const ends = killed.lines.filter((line) => line["msg"] === "fake ends");
    assert.equal(ends.length, 2, "they drained by themselves");
    assert.deepEqual(recoveryOf(born), { dead: [], living: [born["worker"]] });
    await next.line("worker ready", 2);
  });
});

describe("a port", () => {
  test("that is taken, even by one who would share it, is named with the key to change", async () => {
    const server = createServer();
    server.listen({ host: "127.0.0.1", port: 0, reusePort: true });
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    try {
      await using folder = await scratch({ api: { host: "127.0.0.1", port } });
      await using sender = startFakeSender({ folder: folder.path });
      assert.equal(await sender.exited, 1);
      await sender.says(new RegExp(`port ${port} is taken`));
      await sender.says(/api\.port/);
      assert.equal(sender.lines.length, 0, "no worker was started");
    } finally {
      server.close();
    }
  });
});
