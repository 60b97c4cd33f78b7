/** Where plugins are found, and what is said of one that is not, or is of the other kind of module. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";

import { importPlugin, pathOfModule } from "#shared/core-plugins/import-module.ts";
import { pluginConfig } from "../../support/plugins.ts";

async function folderWith(
  files: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-modules-"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), text);
  }
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const COMMON = "module.exports.title = 'it'; module.exports.init = () => undefined;";

describe("a plugin that is a package", () => {
  for (const [kind, manifest, file, source] of [
    ["CommonJS", { main: "./lib/it.js" }, "lib/it.js", COMMON],
    ["for import alone", { exports: { import: "./it.mjs" } }, "it.mjs", "export function init() {}"],
    ["with a scope", { main: "./index.js" }, "index.js", COMMON],
  ] as const)
    test(`is found among node_modules: ${kind}`, async () => {
      const name = kind === "with a scope" ? "@us/zonemta-it" : "zonemta-it";
      await using folder = await folderWith({
        [`node_modules/${name}/package.json`]: JSON.stringify({ name, ...manifest }),
        [`node_modules/${name}/${file}`]: source,
      });
      const loaded = await importPlugin(
        pluginConfig({ source: { kind: "package", name, baseDir: folder.path } }),
      );
      const { init } = loaded as { init?: unknown };
      assert.equal(typeof init, "function");
    });

  test("and is not installed is named", async () => {
    await using folder = await folderWith({});
    assert.throws(
      () => pathOfModule({ kind: "package", name: "zonemta-none", baseDir: folder.path }),
      /Cannot find module 'zonemta-none'/,
    );
  });
});

test("a CommonJS plugin below a package of ES modules is told what to do, and then it loads", async () => {
  await using folder = await folderWith({
    "package.json": '{ "type": "module" }',
    "plugins/one.js": COMMON,
    "more/package.json": "{}",
    "more/one.js": COMMON,
  });
  const load = (path: string): Promise<unknown> =>
    importPlugin(pluginConfig({ source: { kind: "file", path: join(folder.path, path) } }));
  await assert.rejects(
    load("plugins/one.js"),
    /it is CommonJS, .*package\.json .*name it \.cjs, or put a package\.json/,
  );
  assert.equal(typeof ((await load("more/one.js")) as { init?: unknown }).init, "function");
});
