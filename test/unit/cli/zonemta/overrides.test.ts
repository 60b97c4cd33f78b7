import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { override, overridesOf, parseOverride } from "../../../../cli/zonemta/overrides.ts";
import type { Tree } from "../../../../cli/zonemta/tree.ts";

describe("what ZoneMTA is given besides its files", () => {
  test("is found in the environment by its prefix, and on a command line by its form", () => {
    assert.deepEqual(overridesOf({ APPCONF_api_port: "80", appconf_name: "x", PATH: "/bin" }), [
      { path: ["api", "port"], text: "80" },
      { path: ["name"], text: "x" },
    ]);
    assert.deepEqual(parseOverride("zones.default.pool=a=b"), {
      path: ["zones", "default", "pool"],
      text: "a=b",
    });
    assert.equal(parseOverride("zones"), null);
  });

  test("is of the type of what it takes the place of, and goes where there is nothing", () => {
    const tree: Tree = { port: 1, on: true, off: false, list: ["a"], text: "1", in: { deep: 1 } };
    for (const [path, text] of [
      ["port", "2525"],
      ["on", "no"],
      ["off", "yes"],
      ["list", " x , y"],
      ["text", "2"],
      ["in.deep", "7"],
      ["new.number", "5"],
      ["new.yes", "true"],
      ["new.text", "abc"],
    ] as const)
      override(tree, { path: path.split("."), text });
    assert.deepEqual(tree, {
      port: 2525,
      on: false,
      off: true,
      list: ["x", "y"],
      text: "2",
      in: { deep: 7 },
      new: { number: 5, yes: true, text: "abc" },
    });
  });

  test("is refused where it leads into no object, or out of the configuration", () => {
    for (const path of [
      ["a", "b"],
      ["__proto__", "x"],
      ["a", ""],
    ])
      assert.throws(() => override({ a: 1 }, { path, text: "1" }), { code: "invalid-config" });
  });
});
