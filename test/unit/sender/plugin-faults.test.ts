import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { PluginConfig } from "#shared/domain/config.ts";
import { culprit, foldersOf } from "../../../sender/plugin-faults.ts";
import { pluginConfig } from "../../support/plugins.ts";

const FOLDERS = [
  { key: "user/tag", folder: "/opt/relay/plugins/user/" },
  { key: "modules/zonemta-it", folder: "/opt/relay/node_modules/zonemta-it/" },
];
const isOurs = (frame: string): boolean => /\/opt\/relay\/(?:sender|shared)\//.test(frame);

function thrownIn(...files: readonly string[]): Error {
  const error = new Error("oops");
  error.stack = ["Error: oops", ...files.map((file) => `    at f (${file}:1:1)`)].join("\n");
  return error;
}

const TAG = "file:///opt/relay/plugins/user/tag.js";
const CALL = "file:///opt/relay/shared/plugins/call.ts";
const NODE = "node:internal/timers";

describe("an error that nobody has caught", () => {
  for (const [what, files, origin, expected] of [
    ["from a plugin's timer is the plugin's", [TAG, NODE], "uncaughtException", "user/tag"],
    [
      "from what a plugin calls is the plugin's",
      ["/opt/relay/node_modules/redis/x.js", TAG, NODE],
      "uncaughtException",
      "user/tag",
    ],
    [
      "from a package is that plugin's",
      ["/opt/relay/node_modules/zonemta-it/x.js"],
      "uncaughtException",
      "modules/zonemta-it",
    ],
    ["through code of ours is ours", [TAG, CALL, NODE], "uncaughtException", null],
    [
      "of a promise that a plugin left in a hook is the plugin's",
      [TAG, CALL],
      "unhandledRejection",
      "user/tag",
    ],
    ["of a promise of ours is ours", [CALL, TAG], "unhandledRejection", null],
    ["of nobody that is known is ours", [NODE], "uncaughtException", null],
  ] as const)
    test(what, () => {
      assert.equal(culprit(thrownIn(...files), FOLDERS, origin, isOurs), expected);
    });

  test("in a program and packages that lie beside a plugin is not the plugin's", () => {
    const beside = [{ key: "it", folder: "/opt/relay/" }];
    const of = (...files: string[]): string | null =>
      culprit(thrownIn(...files), beside, "uncaughtException", isOurs);
    assert.equal(of("file:///opt/relay/it.js", NODE), "it");
    assert.equal(of(CALL), null);
    assert.equal(of("/opt/relay/node_modules/lmdb/x.js", NODE), null);
    assert.equal(of("file:///opt/relay/it.js", "/opt/relay/node_modules/redis/x.js", NODE), "it");
  });

  test("of a plugin that is not there is not waited for", () => {
    const of = (source: PluginConfig["source"]) => foldersOf(pluginConfig({ source, optional: true }));
    assert.deepEqual(of({ kind: "package", name: "zonemta-none", baseDir: import.meta.dirname }), []);
    assert.deepEqual(of({ kind: "core", name: "rspamd" }), []);
    assert.deepEqual(of({ kind: "file", path: import.meta.filename }), [
      { key: "it", folder: `${import.meta.dirname}/` },
    ]);
  });

  test("that is no error is ours", () => {
    assert.equal(culprit("oops", FOLDERS, "unhandledRejection", isOurs), null);
  });
});
