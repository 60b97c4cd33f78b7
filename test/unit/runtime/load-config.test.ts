/** Where the configuration is found, and what the environment says besides. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Zone, ZoneName } from "#shared/domain/zone.ts";
import { loadConfig } from "#shared/runtime/config.ts";
import { configFolder } from "../../support/config.ts";

import example from "../../../docs/zonefleet.config.example.ts"; // so that its types are checked too

describe("loading", () => {
  let empty = "";
  before(async () => {
    empty = await mkdtemp(join(tmpdir(), "zonefleet-config-"));
  });
  after(() => rm(empty, { recursive: true }));

  test("without a file gives the built-in defaults with the sandbox", async () => {
    const { config, source, backend, dataDir, logLevel, processes } = await loadConfig({
      env: {},
      cwd: empty,
    });
    assert.equal(source, null);
    assert.deepEqual(config.sandbox, { enabled: true, host: "127.0.0.1", port: 2526 });
    assert.deepEqual([backend, dataDir, logLevel], ["embedded", join(empty, "data"), "info"]);
    assert.ok(processes >= 1);
  });

  test("takes what the environment says, and empty variables as unset", async () => {
    const env = {
      ZONEFLEET_BACKEND: "aws",
      ZONEFLEET_DATA: "store",
      ZONEFLEET_PROCESSES: "3",
      LOG_LEVEL: "debug",
      ZONEFLEET_CONFIG: "",
    };
    const { backend, dataDir, processes, logLevel } = await loadConfig({ env, cwd: empty });
    assert.deepEqual([backend, dataDir, processes, logLevel], ["aws", join(empty, "store"), 3, "debug"]);
  });

  const wrong: [env: Record<string, string>, message: RegExp][] = [
    [
      { ZONEFLEET_BACKEND: "awz" },
      /^ZONEFLEET_BACKEND: expected one of embedded, aws, found "awz"; did you mean aws\?$/,
    ],
    [{ ZONEFLEET_PROCESSES: "0" }, /^ZONEFLEET_PROCESSES: expected a whole number from 1 to 256, found "0"$/],
    [{ ZONEFLEET_PROCESSES: "many" }, /^ZONEFLEET_PROCESSES: .* found "many"$/],
    [{ ZONEFLEET_PROCESSES: "1e2" }, /^ZONEFLEET_PROCESSES: .* found "1e2"$/],
    [
      { LOG_LEVEL: "loud" },
      /^LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent, found "loud"$/,
    ],
    [{ ZONEFLEET_CONFIG: "nowhere.ts" }, /^ZONEFLEET_CONFIG: there is no file .*nowhere\.ts$/],
  ];
  for (const [env, message] of wrong) {
    test(`refuses ${JSON.stringify(env)}`, async () => {
      await assert.rejects(loadConfig({ env, cwd: empty }), { code: "invalid-config", message });
    });
  }

  test("finds a TypeScript file, runs it, and names it", async (t) => {
    const cwd = await configFolder(t);
    const file = join(cwd, "zonefleet.config.ts");
    await writeFile(
      file,
      'const name: string = "Typed";\nexport default { name } satisfies { name: string };\n',
    );
    const { config, source } = await loadConfig({ env: {}, cwd });
    assert.equal(source, file);
    assert.equal(config.name, "Typed");
    assert.equal(config.sandbox.enabled, false);
  });

  test("reads a TypeScript file and all that it imports again, when it was read before", async (t) => {
    const cwd = await configFolder(t);
    const write = (name: string, times: number) =>
      Promise.all([
        writeFile(join(cwd, "parts.ts"), `export const name: string = ${JSON.stringify(name)};\n`),
        writeFile(
          join(cwd, "zonefleet.config.ts"),
          `import { name } from "./parts.ts";\nexport default { name, queue: { deferTimes: [${times}] } };\n`,
        ),
      ]);
    await write("First", 1);
    assert.equal((await loadConfig({ env: {}, cwd })).config.name, "First");
    await write("Second", 1); // the file itself is as it was
    assert.equal((await loadConfig({ env: {}, cwd, again: true })).config.name, "Second");
    await write("Third", 2);
    assert.equal((await loadConfig({ env: {}, cwd, again: true })).config.name, "Third");
  });

  const brokenLater: [text: string, message: RegExp][] = [
    ["throw new Error('on purpose'); export default {};", /cannot be read: Error: on purpose/],
    ["export default { name: () => 1 };", /cannot be read: .*could not be cloned/],
    ["process.exit(0); export default {};", /cannot be read: Error: it ended the process/],
    ["export default {", /cannot be read: /],
    ["export const config = {};", /expected export default defineConfig/],
  ];
  for (const [text, message] of brokenLater) {
    test(`names the file when it is read again, in what is wrong with ${text}`, async (t) => {
      const cwd = await configFolder(t);
      await writeFile(join(cwd, "zonefleet.config.ts"), text);
      await assert.rejects(loadConfig({ env: {}, cwd, again: true }), { code: "invalid-config", message });
    });
  }

  test("finds a JSON file, and one that ZONEFLEET_CONFIG names", async (t) => {
    const cwd = await configFolder(t);
    await writeFile(join(cwd, "zonefleet.config.json"), '{ "name": "Found" }');
    assert.equal((await loadConfig({ env: {}, cwd })).config.name, "Found");
    await mkdir(join(cwd, "etc"));
    await writeFile(join(cwd, "etc", "mail.json"), '{ "name": "Named" }');
    const { config, source } = await loadConfig({ env: { ZONEFLEET_CONFIG: "etc/mail.json" }, cwd });
    assert.deepEqual([config.name, source], ["Named", join(cwd, "etc", "mail.json")]);
  });

  const broken: [file: string, text: string, message: RegExp][] = [
    ["zonefleet.config.ts", "export default {", /zonefleet\.config\.ts: cannot be read: SyntaxError/],
    [
      "zonefleet.config.ts",
      "export const config = {};",
      /zonefleet\.config\.ts: expected export default defineConfig/,
    ],
    [
      "zonefleet.config.ts",
      "throw new Error('on purpose'); export default {};",
      /zonefleet\.config\.ts: cannot be read: Error: on purpose/,
    ],
    ["zonefleet.config.ts", "enum E { A } export default {};", /zonefleet\.config\.ts: cannot be read: /],
    [
      "zonefleet.config.ts",
      "import 'no-such-package'; export default {};",
      /zonefleet\.config\.ts: cannot be read: .*no-such-package/,
    ],
    ["zonefleet.config.json", "{ name: 1 }", /zonefleet\.config\.json: cannot be read: SyntaxError/],
    [
      "zonefleet.config.json",
      '{ "nam": 1 }',
      /zonefleet\.config\.json: nam: unknown key; did you mean name\?/,
    ],
  ];
  for (const [name, text, message] of broken) {
    test(`names the file in what is wrong with ${text}`, async (t) => {
      const cwd = await configFolder(t);
      await writeFile(join(cwd, name), text);
      await assert.rejects(loadConfig({ env: {}, cwd }), { code: "invalid-config", message });
    });
  }

  test("refuses to choose between two files, and files of another kind", async (t) => {
    const cwd = await configFolder(t);
    await writeFile(join(cwd, "zonefleet.config.ts"), "export default {};");
    await writeFile(join(cwd, "zonefleet.config.json"), "{}");
    await assert.rejects(loadConfig({ env: {}, cwd }), { message: /both .* are there; remove one/ });
    await writeFile(join(cwd, "config.toml"), "");
    const env = { ZONEFLEET_CONFIG: "config.toml" };
    await assert.rejects(loadConfig({ env, cwd }), {
      message: /config\.toml: expected a \.ts or a \.json file$/,
    });
  });

  test("takes the example in docs as it is", async () => {
    const file = fileURLToPath(new URL("../../../docs/zonefleet.config.example.ts", import.meta.url));
    const { config } = await loadConfig({ env: { ZONEFLEET_CONFIG: file }, cwd: empty });
    assert.equal(config.hostname, example.hostname);
    const { pool } = config.zones.get("bulk" as ZoneName) as Zone;
    assert.deepEqual(
      pool.map(({ share }) => Number(share.toFixed(3))),
      [0.475, 0.475, 0.05],
    );
  });
});
