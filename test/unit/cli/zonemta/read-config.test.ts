import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";

import { readForeignConfig } from "../../../../cli/zonemta/read-config.ts";

let base: string;
before(async () => {
  base = await mkdtemp(join(tmpdir(), "read-config-"));
});
after(() => rm(base, { recursive: true }));

let folders = 0;

/** Reads `sources` below a folder with these files. */
async function read(
  files: Readonly<Record<string, string>>,
  sources: readonly string[] = ["config"],
  options: { variables?: Record<string, string>; readable?: string[] } = {},
) {
  const root = join(base, `zone-mta-${folders++}`);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  return readForeignConfig(
    sources.map((source) => join(root, source)),
    { environment: "production", variables: {}, root: null, readable: [], ...options },
  );
}

describe("the files of a ZoneMTA", () => {
  test("are joined with what its --config names, the later over the earlier", async () => {
    const { tree, files, hasDefaults } = await read(
      {
        "config/default.js":
          "module.exports = { name: 'a', queue: { gfs: 'mail', maxQueueTime: 1 }, pools: { default: ['x', 'y'] } };",
        "config/production.json": '{ "queue": { "maxQueueTime": 2 } }',
        "etc/zone-mta.toml": 'pools.default = ["z"]\n[queue]\ndefaultZone = "b"\n',
      },
      ["config", "etc/zone-mta.toml"],
    );
    assert.deepEqual(tree, {
      name: "a",
      queue: { gfs: "mail", maxQueueTime: 2, defaultZone: "b" },
      pools: { default: ["z"] },
    });
    assert.deepEqual([files.length, hasDefaults], [3, true]);
    assert.equal((await read({ "config/zonemta.toml": "a = 1" })).hasDefaults, false);
  });

  test("include files of any folder that fits, in the order of their names", async () => {
    const { tree } = await read({
      "config/zonemta.toml": '[zones]\n# @include "zones/**/*.toml"\n[plugins]\n# @include "*/x/*.json"\n',
      "config/zones/a.toml": "[a]\nconnections = 1\n[b]\nconnections = 1\n",
      "config/zones/more/deep/b.toml": "[b]\nconnections = 2\n",
      "config/plugins/x/one.json": '{ "core/srs": false }',
    });
    assert.deepEqual(tree, {
      zones: { a: { connections: 1 }, b: { connections: 2 } },
      plugins: { "core/srs": false },
    });
  });

  test("include a list in the place of its table, and refuse it where there is something else", async () => {
    const { tree } = await read({
      "config/zonemta.toml":
        '[pools]\n[pools.default]\n# @include "pool.json"\n[pools.other]\n# @include "pool.js"\n',
      "config/pool.json": '["192.0.2.1"]',
      "config/pool.js": "module.exports = [{ address: '192.0.2.2' }];",
    });
    assert.deepEqual(tree, { pools: { default: ["192.0.2.1"], other: [{ address: "192.0.2.2" }] } });
    const both = { "config/zonemta.toml": '[pools]\na = 1\n# @include "p.json"\n', "config/p.json": "[]" };
    await assert.rejects(read(both), { message: /p\.json: expected an object, or a list for a table/ });
  });
});

describe("a module of a ZoneMTA", () => {
  test("has the environment, and what it asks of it is told", async () => {
    const { tree, variables } = await read(
      {
        "config/default.js": `module.exports = { name: require('os').hostname() === '' ? 'none' : 'some',
          zones: { out: { host: 'relay.example', auth: { user: process.env.RELAY_USER, pass: process.env.RELAY_PASS } } },
          smtpInterfaces: { feeder: { port: process.env.PORT || 2525 } } };`,
      },
      ["config"],
      { variables: { RELAY_USER: "us", OTHER: "x", NODE_OPTIONS: "--no-warnings" } },
    );
    assert.deepEqual(tree, {
      name: "some",
      zones: { out: { host: "relay.example", auth: { user: "us" } } },
      smtpInterfaces: { feeder: { port: 2525 } },
    });
    assert.deepEqual(variables, { set: ["RELAY_USER"], unset: ["RELAY_PASS", "PORT"] });
  });

  test("may lie behind a link, and so may what it reads", async () => {
    const real = join(base, "real");
    await mkdir(join(real, "config"), { recursive: true });
    await writeFile(join(real, "name.js"), "module.exports = 'linked';");
    await writeFile(join(real, "config/default.js"), "module.exports = { name: require('../name') };");
    await symlink(real, join(base, "link"));
    const options = { environment: "production", variables: {}, root: null, readable: [] };
    assert.deepEqual((await readForeignConfig([join(base, "link/config")], options)).tree, {
      name: "linked",
    });
  });

  test("reads the folder that ZoneMTA is started in, and others that are named", async () => {
    const files = {
      "package.json": '{ "version": "1.2.3" }',
      "keys/key.pem": "-----BEGIN KEY-----",
      "config/default.js": `const { readFileSync } = require('fs');
        module.exports = { name: require('../package.json').version, key: readFileSync('./keys/key.pem') };`,
    };
    assert.deepEqual((await read(files)).tree, { name: "1.2.3", key: "-----BEGIN KEY-----" });
    const outside = await mkdtemp(join(tmpdir(), "outside-"));
    await writeFile(join(outside, "name"), "theirs");
    try {
      const elsewhere = {
        "config/default.js": `module.exports = { name: require('fs').readFileSync(${JSON.stringify(join(outside, "name"))}, 'utf8') };`,
      };
      await assert.rejects(read(elsewhere), {
        message: new RegExp(`default\\.js: reads ${outside}/name; --allow-read ${outside} lets it`),
      });
      assert.deepEqual((await read(elsewhere, ["config"], { readable: [outside] })).tree, { name: "theirs" });
    } finally {
      await rm(outside, { recursive: true });
    }
  });
});
