/**
 * `user` and `group`: what is started as root opens its ports and becomes somebody else, in all its processes and for good; and it still
 * reloads and replaces workers. Only root can try that: for anybody else these tests are skipped.
 */

import assert from "node:assert/strict";
import { chmod, chown, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { startLoad } from "../support/mail-load.ts";
import type { RelayProcess, Scratch } from "../support/relay-process.ts";
import { eventually, scratchFolder, startMain, startRelayProcess } from "../support/relay-process.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const TIMEOUT_MS = 90 * SECOND;
const PATIENCE_MS = 30 * SECOND;
const USER = "nobody";
const isRoot = process.getuid?.() === 0;
const options = { timeout: TIMEOUT_MS, skip: isRoot ? false : "only root can become another user" };

/** A folder that others may enter. */
async function openFolder(): Promise<Scratch> {
  const scratch = await scratchFolder();
  await chmod(scratch.folder, 0o755);
  return scratch;
}

/** Two ports that only root may bind, and nobody has. */
async function lowPorts(): Promise<[smtp: number, http: number]> {
  const free: number[] = [];
  for (let port = 1_023; port > 600 && free.length < 2; port--) {
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    free.push(port);
  }
  const [smtp = 0, http = 0] = free;
  return [smtp, http];
}

function configured([smtp, http]: readonly [number, number], banner: string) {
  return {
    user: USER,
    smtpInterfaces: { feeder: { host: "127.0.0.1", port: smtp, banner } },
    api: { host: "127.0.0.1", port: http },
    dns: { blockLocalAddresses: false },
    zones: { default: { disabled: true }, bounces: { disabled: true } },
  };
}

async function rewrite({ folder }: Scratch, config: unknown): Promise<void> {
  await writeFile(join(folder, "zonefleet.config.json"), JSON.stringify(config));
}

interface Ids {
  /** Real, effective, saved, and of the file system. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly groups: readonly number[];
  readonly capabilities: string;
}

async function idsOf(pid: number): Promise<Ids> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const values = (name: string): number[] =>
    (new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1] ?? "")
      .split(/\s+/)
      .filter(Boolean)
      .map(Number);
  const [, capabilities = ""] = /^CapPrm:\s+(\w+)$/m.exec(status) ?? [];
  return { uids: values("Uid"), gids: values("Gid"), groups: values("Groups"), capabilities };
}

async function assertUnprivileged(relay: RelayProcess): Promise<void> {
  const { uid, gid } = await accountOf(USER);
  let checked = 0;
  for (const pid of [relay.pid, ...relay.workers().values()]) {
    const ids = await idsOf(pid).catch(() => null);
    if (ids === null) continue; // a worker that another has taken the place of
    const { uids, gids, groups, capabilities } = ids;
    assert.deepEqual(
      uids,
      Array.from({ length: 4 }, () => uid),
      `the user of process ${pid}`,
    );
    assert.deepEqual(
      gids,
      Array.from({ length: 4 }, () => gid),
      `the group of process ${pid}`,
    );
    assert.ok(!groups.includes(0), `process ${pid} is in no group of root`);
    assert.match(capabilities, /^0+$/, `process ${pid} may nothing that is root's`);
    checked++;
  }
  assert.ok(checked >= 3, "a supervisor and two workers");
}

function count(relay: RelayProcess, msg: string): { reached: (count: number) => Promise<unknown> } {
  let seen = 0;
  relay.onLog((line) => {
    if (line.msg === msg) seen++;
  });
  return {
    reached: (wanted) => eventually(`${wanted} × ${msg}`, PATIENCE_MS, () => (seen >= wanted ? true : null)),
  };
}

describe("a relay that is started as root with a user", () => {
  test("listens under port 1024, and no process of it is root", options, async () => {
    await using scratch = await openFolder();
    const config = configured(await lowPorts(), "Low");
    await using relay = await startRelayProcess({ scratch, config });
    assert.ok(relay.smtpPort < 1_024);
    await assertUnprivileged(relay);
    assert.equal(
      (await stat(scratch.data)).uid,
      (await idsOf(relay.pid)).uids[0],
      "the data folder is the user's",
    );
    const client = await SmtpTalker.ready(relay.smtpPort);
    assert.match((await client.mail()).text, /queued as/);
    client.destroy();
    relay.signal("SIGTERM");
    assert.equal((await relay.ended).code, 0);
  });

  test(
    "reloads, and replaces a worker that dies, under load and still under port 1024",
    options,
    async () => {
      await using scratch = await openFolder();
      const ports = await lowPorts();
      await using relay = await startRelayProcess({ scratch, config: configured(ports, "First") });
      await using load = startLoad({ doors: () => relay, smtpClients: 2, httpClients: 1, enough: 100_000 });
      const reloaded = count(relay, "configuration reloaded");
      const ready = count(relay, "worker ready");
      await load.reached(30);
      await rewrite(scratch, configured(ports, "Second"));
      relay.signal("SIGHUP");
      await reloaded.reached(1);
      await load.reached(load.acknowledged().length + 30);
      assert.deepEqual(load.failures, [], "a reload loses no connection");
      process.kill([...relay.workers().values()].at(-1) ?? 0, "SIGKILL"); // those before it retire
      await ready.reached(3); // two of the reload, and the one in place of the dead
      await load.reached(load.acknowledged().length + 30);
      await load.stop();
      await assertUnprivileged(relay);
      const client = SmtpTalker.connect(relay.smtpPort);
      assert.match((await client.reply()).text, /Second/);
      client.destroy();
    },
  );

  test("takes the keys that root makes with the command, as they are the user's", options, async () => {
    await using scratch = await openFolder();
    const config = { ...configured(await lowPorts(), "Keys"), api: { host: "127.0.0.1", port: 0 } };
    await using relay = await startRelayProcess({ scratch, config, processes: 1 });
    const command = ["cli/main.ts", "api-key", "add", "--scope", "read", "--label", "test"];
    const env = { ...process.env, ZONEFLEET_DATA: scratch.data };
    const made = spawnSync(process.execPath, command, { env, encoding: "utf8", timeout: PATIENCE_MS });
    assert.equal(made.status, 0, made.stderr);
    const { uid } = await accountOf(USER);
    assert.equal((await stat(join(scratch.data, "secrets"))).uid, uid);
    const files = await readdir(join(scratch.data, "secrets"), { recursive: true });
    for (const file of files) assert.equal((await stat(join(scratch.data, "secrets", file))).uid, uid, file);
    const key = made.stdout.trim();
    const headers = { authorization: `Bearer ${key}` };
    await eventually("an answer to the key", PATIENCE_MS, async () =>
      (await fetch(`${relay.httpUrl}/zones`, { headers })).status === 200 ? true : null,
    );
  });

  test("says that a new port under 1024 needs a restart, and goes on", options, async () => {
    await using scratch = await openFolder();
    const [smtp, http] = await lowPorts();
    await using relay = await startRelayProcess({
      scratch,
      config: { ...configured([smtp, http], "First"), api: { port: 0 } },
    });
    await rewrite(scratch, configured([smtp, http], "Second"));
    relay.signal("SIGHUP");
    await eventually("the complaint", PATIENCE_MS, () =>
      /127\.0\.0\.1:\d+ may not be listened on by this user.*start it as root/.test(relay.screen())
        ? true
        : null,
    );
    await rewrite(scratch, { ...configured([smtp, http], "Third"), user: "daemon", api: { port: 0 } });
    relay.signal("SIGHUP");
    await eventually("the second complaint", PATIENCE_MS, () =>
      /user, group: cannot be changed while ZoneFleet runs/.test(relay.screen()) ? true : null,
    );
  });
});

describe("it ends with 1 and says what to change, for", () => {
  async function refusal(scratch: Scratch, config: unknown): Promise<string> {
    await using main = await startMain({ scratch, processes: 1, config: JSON.stringify(config) });
    assert.deepEqual(await main.ended, { code: 1, signal: null });
    return main.screen();
  }

  test("a user or a group that is not there, and root", options, async () => {
    await using scratch = await openFolder();
    const base = { smtpInterfaces: { feeder: { port: 0 } }, api: { port: 0 } };
    assert.match(
      await refusal(scratch, { ...base, user: "no-such-user" }),
      /user: there is no user no-such-user/,
    );
    assert.match(
      await refusal(scratch, { ...base, user: 4_000_000_001 }),
      /user: there is no user 4000000001/,
    );
    assert.match(
      await refusal(scratch, { ...base, user: USER, group: "no-such-group" }),
      /there is no group no-such-group/,
    );
    assert.match(await refusal(scratch, { ...base, user: "root" }), /user: is root/);
    assert.match(await refusal(scratch, { ...base, group: "nogroup" }), /group: needs user/);
  });

  test("a data folder that is root's, which stays root's", options, async () => {
    await using scratch = await openFolder();
    const base = { user: USER, smtpInterfaces: { feeder: { port: 0 } }, api: { port: 0 } };
    await mkdir(scratch.data, { mode: 0o755 });
    assert.match(
      await refusal(scratch, base),
      /data.*permission denied.*Give the user that runs ZoneFleet read and write access/,
    );
    assert.equal((await stat(scratch.data)).uid, 0);
    const { uid, gid } = await accountOf(USER);
    await chown(scratch.data, uid, gid);
    await writeFile(join(scratch.data, "store.mdb"), "", { mode: 0o600 });
    assert.match(await refusal(scratch, base), /user: nobody may not use .*store\.mdb: .*chown -R nobody/);
  });
});

test("root without a user is told to have one", options, async () => {
  await using scratch = await openFolder();
  await using relay = await startRelayProcess({ scratch, processes: 1 });
  assert.match(relay.screen(), /Warning: this runs as root.*Set `user`/);
});

test("who is that user already needs no root", { timeout: TIMEOUT_MS }, async () => {
  await using scratch = await scratchFolder();
  if (isRoot) return; // the tests above are of root
  await using relay = await startRelayProcess({
    scratch,
    processes: 1,
    config: { user: userInfo().username },
  });
  assert.ok(relay.smtpPort > 0);
});

async function accountOf(name: string): Promise<{ uid: number; gid: number }> {
  const line = (await readFile("/etc/passwd", "utf8")).split("\n").find((one) => one.startsWith(`${name}:`));
  const [, , uid, gid] = (line ?? "").split(":");
  return { uid: Number(uid), gid: Number(gid) };
}
