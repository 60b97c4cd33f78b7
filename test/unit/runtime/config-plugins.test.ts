import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Config } from "#shared/domain/config.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { pluginFiles } from "../../support/plugin-files.ts";

const read = (input: ConfigInput, baseDir = "/"): Config =>
  parseConfig(input, { source: "zonefleet.config.ts", baseDir });

describe("the table of plugins", () => {
  test("has ZoneMTA's options for the plugins that end loops, and asks for the secret of one", () => {
    const { plugins } = read({
      plugins: { "core/limiter": "sender", "core/loop-breaker": { enabled: "sender", secret: "a cat" } },
    });
    assert.deepEqual(
      plugins.map(({ key, contexts, options: { limit, windowSize, algo, header } }) => [
        key,
        contexts,
        [limit, windowSize, algo, header],
      ]),
      [
        ["core/loop-breaker", ["sender"], [undefined, undefined, "sha256", "X-Zone-Loop"]],
        ["core/limiter", ["sender"], [250, 1_800, undefined, undefined]],
      ],
    );
    for (const [options, message] of [
      [{}, /plugins\["core\/loop-breaker"\]\.secret: is missing/],
      [{ secret: "a cat", algo: "crc32" }, /plugins\["core\/loop-breaker"\]\.algo: /],
      [{ secret: "a cat", header: "X Loop" }, /plugins\["core\/loop-breaker"\]\.header: is no header name/],
    ] as const)
      assert.throws(
        () => read({ plugins: { "core/loop-breaker": { enabled: "sender", ...options } as object } }),
        { code: "invalid-config", message },
      );
  });

  test("names modules by core name, package or path, in their order, with what is theirs", async () => {
    await using files = await pluginFiles({ "own.ts": "", "other.js": "" });
    const { plugins } = read({
      pluginsPath: files.folder,
      plugins: {
        "./own": {
          enabled: ["sender", "receiver"],
          ordering: 7,
          deep: { list: [1, null] },
          hookTimeout: 500,
        },
        "modules/zonemta-x": true,
        "core/image-hashes": { enabled: "receiver" },
        other: { enabled: "*", ordering: -1, optional: true },
        off: false,
        gone: { enabled: [] },
      },
    });
    assert.deepEqual(
      plugins.map(({ key, source, contexts, optional, hookTimeoutMs }) => ({
        key,
        source,
        contexts,
        optional,
        hookTimeoutMs,
      })),
      [
        {
          key: "other",
          source: { kind: "file", path: `${files.folder}/other.js` },
          contexts: ["receiver", "main", "sender"],
          optional: true,
          hookTimeoutMs: null,
        },
        {
          key: "./own",
          source: { kind: "file", path: `${files.folder}/own.ts` },
          contexts: ["receiver", "sender"],
          optional: false,
          hookTimeoutMs: 500,
        },
        {
          key: "core/image-hashes",
          source: { kind: "core", name: "image-hashes" },
          contexts: ["receiver"],
          optional: false,
          hookTimeoutMs: null,
        },
        {
          key: "modules/zonemta-x",
          source: { kind: "package", name: "zonemta-x", baseDir: "/" },
          contexts: ["receiver", "main", "sender"],
          optional: false,
          hookTimeoutMs: null,
        },
      ],
    );
    assert.deepEqual(plugins[1]?.options["deep"], { list: [1, null] });
  });

  for (const [what, plugins, message] of [
    [
      "a file that is not there",
      { "./nothing": true },
      /plugins\["\.\/nothing"\]: there is no module \/nothing/,
    ],
    [
      "a context that is none",
      { "modules/x": { enabled: "reciever" } },
      /plugins\["modules\/x"\]\.enabled: expected/,
    ],
    [
      "no word of where it runs",
      { "modules/x": { a: 1 } },
      /plugins\["modules\/x"\]\.enabled: expected true or false .*found nothing/,
    ],
    [
      "options that are no data",
      { "modules/x": { enabled: true, a: { b: () => 1 } } },
      /\["modules\/x"\]\.a\.b: is not data/,
    ],
    [
      "a core plugin that is none",
      { "core/http-aut": true },
      /core\/http-aut"\]: unknown key; did you mean core\/http-auth/,
    ],
  ] as const)
    test(`is refused with ${what}`, () => {
      assert.throws(() => read({ plugins }), message);
    });

  test("takes ZoneMTA's keys of the core plugins that the program does itself", () => {
    const plugins: ConfigInput["plugins"] = {
      "core/default-headers": {
        enabled: ["receiver", "main", "sender"],
        addMissing: [],
        futureDate: true,
        ordering: 1,
      },
      "core/delivery-loop": { enabled: ["receiver", "main"], maxHops: 5 },
      "core/email-bounce": "main",
      "core/srs": false,
    };
    const { headers, bounces, srs } = read({ plugins });
    assert.deepEqual([headers.addMissing, headers.futureDate, headers.maxHops], [[], true, 5]);
    assert.equal(bounces.disabled, false);
    assert.equal(srs, null);
  });

  test("lets default-headers and delivery-loop be turned off, all but a bound that ends every loop", () => {
    const { headers } = read({ plugins: { "core/default-headers": false, "core/delivery-loop": false } });
    assert.deepEqual(headers, {
      allowRoutingHeaders: [],
      addMissing: [],
      futureDate: false,
      xOriginatingIp: false,
      maxHops: 1_000,
    });
  });
});
