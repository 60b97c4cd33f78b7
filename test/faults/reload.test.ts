/** SIGHUP: what is written in the configuration holds from then on, and no client notices that workers were replaced. */

import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { pluginFiles } from "../support/plugin-files.ts";
import { startLoad } from "../support/mail-load.ts";
import type { RelayProcess, Scratch } from "../support/relay-process.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const TIMEOUT_MS = 90 * SECOND;
const PATIENCE_MS = 30 * SECOND;

/** Mail waits: what is tested is the way in. */
function configured(banner: string) {
  return {
    smtpInterfaces: { feeder: { host: "127.0.0.1", port: 0, banner } },
    api: { host: "127.0.0.1", port: 0 },
    dns: { blockLocalAddresses: false },
    zones: { default: { disabled: true }, bounces: { disabled: true } },
  };
}

async function rewrite({ folder }: Scratch, config: unknown): Promise<void> {
  await writeFile(
    join(folder, "zonefleet.config.json"),
    typeof config === "string" ? config : JSON.stringify(config),
  );
}

/** Counts the reloads from now on; the newest lines of the log are those of mail. */
function reloads(relay: RelayProcess): { reached: (count: number) => Promise<unknown> } {
  let seen = 0;
  relay.onLog(({ msg }) => {
    if (msg === "configuration reloaded") seen++;
  });
  return {
    reached: (count) => eventually(`reload ${count}`, PATIENCE_MS, () => (seen >= count ? true : null)),
  };
}

/** Connect, hear the greeting, leave: again and again, until told to stop. Resolves with the greetings. */
function knock(relay: RelayProcess): { stop: () => Promise<{ greetings: string[]; failures: string[] }> } {
  let stopped = false;
  const greetings: string[] = [];
  const failures: string[] = [];
  const client = async (): Promise<void> => {
    while (!stopped) {
      const talker = SmtpTalker.connect(relay.smtpPort);
      try {
        const { code, text } = await talker.reply();
        if (code === 220) greetings.push(text);
        else failures.push(text);
        await talker.say("QUIT");
      } catch (error) {
        failures.push(String(error));
      }
      talker.destroy();
    }
  };
  const clients = [client(), client(), client()];
  return {
    async stop() {
      stopped = true;
      await Promise.all(clients);
      return { greetings, failures };
    },
  };
}

test(
  "SIGHUP under load takes up the new configuration and loses no connection",
  { timeout: TIMEOUT_MS },
  async () => {
    await using scratch = await scratchFolder();
    await using relay = await startRelayProcess({ scratch, config: configured("First") });
    const first = new Set(relay.workers().keys());
    const early = await SmtpTalker.greeted(relay.smtpPort);
    await using load = startLoad({ doors: () => relay, smtpClients: 2, httpClients: 2, enough: 100_000 });
    const knocking = knock(relay);
    const reloaded = reloads(relay);
    await load.reached(50);
    for (const [i, banner] of ["Second", "Third"].entries()) {
      await rewrite(scratch, configured(banner));
      relay.signal("SIGHUP");
      await reloaded.reached(i + 1);
      await load.reached(load.acknowledged().length + 50);
    }
    const { greetings, failures } = await knocking.stop();
    await load.stop();
    assert.deepEqual([...failures, ...load.failures], []);
    assert.match(greetings.at(-1) ?? "", /Third/);
    assert.match(greetings[0] ?? "", /First/);
    assert.ok([...relay.workers().keys()].some((worker) => !first.has(worker)));
    early.destroy();
  },
);

test(
  "a client that was connected before the reload finishes what it came for",
  { timeout: TIMEOUT_MS },
  async () => {
    await using scratch = await scratchFolder();
    await using relay = await startRelayProcess({ scratch, config: configured("First"), processes: 1 });
    const reloaded = reloads(relay);
    const client = await SmtpTalker.ready(relay.smtpPort);
    await client.say("MAIL FROM:<a@origin.test>");
    await rewrite(scratch, configured("Second"));
    relay.signal("SIGHUP");
    await reloaded.reached(1);
    await client.say("RCPT TO:<b@target.test>");
    await client.say("DATA");
    assert.match((await client.say("Subject: late\r\n\r\nlate\r\n.")).text, /queued as/);
    assert.equal((await client.mail()).code, 250); // and one more
    assert.equal((await client.say("QUIT")).code, 221);
  },
);

test(
  "a broken configuration is refused with its errors, and the old workers go on",
  { timeout: TIMEOUT_MS },
  async () => {
    await using scratch = await scratchFolder();
    await using relay = await startRelayProcess({ scratch, config: configured("First"), processes: 1 });
    const before = [...relay.workers().values()];
    for (const [broken, complaint] of [
      ["{", /cannot be read/],
      [{ ...configured("Second"), zoness: {} }, /zoness: unknown key; did you mean zones\?/],
      [{ ...configured("Second"), sandbox: true }, /sandbox: cannot be changed/],
    ] as const) {
      await rewrite(scratch, broken);
      relay.signal("SIGHUP");
      await eventually(`${complaint} on the screen`, PATIENCE_MS, () =>
        complaint.test(relay.screen()) ? true : null,
      );
    }
    assert.deepEqual([...relay.workers().values()], before);
    const client = SmtpTalker.connect(relay.smtpPort);
    assert.match((await client.reply()).text, /First/);
    client.destroy();
    relay.signal("SIGTERM");
    assert.equal((await relay.ended).code, 0);
  },
);

test(
  "plugins are loaded anew, and one that cannot be is named on the screen and changes nothing",
  { timeout: TIMEOUT_MS },
  async () => {
    await using scratch = await scratchFolder();
    await using files = await pluginFiles({
      "first.js": "export const init = (app, done) => done();",
      "broken.js": 'export async function init() { throw new Error("no database"); }',
    });
    const withPlugin = (name: string) => ({
      ...configured(name),
      pluginsPath: files.folder,
      plugins: { [name]: { enabled: true } },
    });
    await using relay = await startRelayProcess({ scratch, config: withPlugin("first"), processes: 1 });
    const before = [...relay.workers().values()];
    await rewrite(scratch, withPlugin("broken"));
    relay.signal("SIGHUP");
    await eventually("the name of the plugin on the screen", PATIENCE_MS, () =>
      /nothing has changed.*plugin broken cannot be loaded: no database/.test(relay.screen()) ? true : null,
    );
    assert.deepEqual([...relay.workers().values()], before);
  },
);

test(
  "a configuration that is gone does not mean the built-in defaults",
  { timeout: TIMEOUT_MS },
  async () => {
    await using scratch = await scratchFolder();
    const file = join(scratch.folder, "zonefleet.config.json");
    const main = join(import.meta.dirname, "../../sender/main.ts");
    await using relay = await startRelayProcess({
      scratch,
      config: { ...configured("First"), sandbox: true },
      processes: 1,
      env: { ZONEFLEET_CONFIG: "" },
      command: ["sh", "-c", `cd "$0" && exec "$1" "$2"`, scratch.folder, process.execPath, main],
    });
    const before = [...relay.workers().values()];
    await rm(file);
    relay.signal("SIGHUP");
    await eventually("the complaint", PATIENCE_MS, () =>
      /nothing has changed.*zonefleet\.config\.json is gone/.test(relay.screen()) ? true : null,
    );
    assert.deepEqual([...relay.workers().values()], before);
  },
);

test("interfaces come and go with the configuration", { timeout: TIMEOUT_MS }, async () => {
  await using scratch = await scratchFolder();
  await using relay = await startRelayProcess({ scratch, config: configured("First"), processes: 1 });
  const reloaded = reloads(relay);
  const { smtpInterfaces, ...others } = configured("First");
  await rewrite(scratch, {
    ...others,
    smtpInterfaces: { other: { ...smtpInterfaces.feeder, banner: "Other" } },
  });
  relay.signal("SIGHUP");
  await reloaded.reached(1);
  const ready = relay.log.findLast(({ msg }) => msg === "worker ready")?.["listens"] as {
    name: string;
    port: number;
  }[];
  const client = SmtpTalker.connect(ready.find(({ name }) => name === "other")?.port ?? 0);
  assert.match((await client.reply()).text, /Other/);
  client.destroy();
  await eventually("the end of the old interface", PATIENCE_MS, async () => {
    const late = SmtpTalker.connect(relay.smtpPort);
    const greeted = await late.reply().catch(() => null);
    late.destroy();
    return greeted === null ? true : null;
  });
});

test("an interface moves to another address of its port, and back", { timeout: TIMEOUT_MS }, async () => {
  await using scratch = await scratchFolder();
  await using relay = await startRelayProcess({ scratch, config: configured("First"), processes: 1 });
  const reloaded = reloads(relay);
  const at = (host: string, banner: string) => ({
    ...configured(banner),
    smtpInterfaces: { feeder: { host, port: relay.smtpPort, banner, authentication: false } },
  });
  for (const [i, host] of ["0.0.0.0", "127.0.0.1"].entries()) {
    const banner = `On ${host}`;
    await rewrite(scratch, at(host, banner));
    relay.signal("SIGHUP");
    await reloaded.reached(i + 1);
    await eventually(`a greeting ${banner}`, PATIENCE_MS, async () => {
      const client = SmtpTalker.connect(relay.smtpPort);
      const greeting = await client.reply().catch(() => null); // a connection to the socket that just goes
      client.destroy();
      return greeting?.text.includes(banner) ? true : null;
    });
  }
});
