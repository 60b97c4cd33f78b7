import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { parseToml } from "../../../../cli/zonemta/toml.ts";
import type { Tree, Value } from "../../../../cli/zonemta/tree.ts";
import { isTree } from "../../../../cli/zonemta/tree.ts";

const treeOf = (text: string): Tree => parseToml(text).tree;

describe("TOML", () => {
  test("has tables, lists of tables, dotted keys, strings of four kinds, numbers and lists over several lines", () => {
    const text = [
      'name = "a \\"b\\" \\u00e4" # a comment',
      "path = 'C:\\x'",
      'long = """',
      "one \\",
      '   two"""',
      "raw = '''it's'''",
      "[zones.default]",
      "connections = 1_000",
      "ratio = -0.5e1",
      "mask = 0xff",
      "on = true",
      "deep.er = 1",
      'pool = [ "a", # the first',
      "  'b',",
      "]",
      'one = { address = "192.0.2.1", ratio = 1 }',
      '["core/email-bounce".mailerDaemon]',
      "[[pools.default]]",
      "address = 1",
      "[[pools.default]]",
      "address = 2",
      "",
    ].join("\r\n");
    assert.deepEqual(treeOf(text), {
      name: 'a "b" ä',
      path: "C:\\x",
      long: "one two",
      raw: "it's",
      zones: {
        default: {
          connections: 1000,
          ratio: -5,
          mask: 255,
          on: true,
          deep: { er: 1 },
          pool: ["a", "b"],
          one: { address: "192.0.2.1", ratio: 1 },
        },
      },
      "core/email-bounce": { mailerDaemon: {} },
      pools: { default: [{ address: 1 }, { address: 2 }] },
    });
  });

  test("has dates and times as the text that they are written as", () => {
    const text =
      "day = 1979-05-27 # a comment\nat = [07:32:00, 1979-05-27T07:32:00Z, 1979-05-27 00:32:00.5-07:00]";
    assert.deepEqual(treeOf(text), {
      day: "1979-05-27",
      at: ["07:32:00", "1979-05-27T07:32:00Z", "1979-05-27 00:32:00.5-07:00"],
    });
  });

  test("takes no comment behind a value for an include", () => {
    assert.deepEqual(parseToml('a = 1 # @include "x.toml"').includes, []);
  });

  test("tells of an include with the table that it stands in", () => {
    const { tree, includes } = parseToml('[dns]\n# @include "dns-{env}.toml"\n[pools]\n#@include "*.toml"');
    assert.deepEqual(
      includes.map(({ table, pattern }) => [table === tree["dns"], table === tree["pools"], pattern]),
      [
        [true, false, "dns-{env}.toml"],
        [false, true, "*.toml"],
      ],
    );
  });

  for (const [text, line] of [
    ["a = 1\nb = 1 2", 2],
    ["a = 1\na = 2", 2],
    ['\n\na = "x', 3],
    ["a = 1\n[a]", 2],
    ["__proto__ = 1", 1],
    ["a = [1", 1],
    ["a =", 1],
    [`a = ${"[".repeat(60)}`, 1],
  ] as const)
    test(`refuses ${JSON.stringify(text.slice(0, 20))} and names line ${line}`, () => {
      assert.throws(() => treeOf(text), { name: "DomainError", message: new RegExp(`^line ${line}: `) });
    });

  test("is read as it was written, whatever the keys and strings are", () => {
    const key = fc.string({ minLength: 1 }).filter((name) => name !== "__proto__");
    const { tree } = fc.letrec<{ tree: Tree; value: Value }>((tie) => ({
      tree: fc.dictionary(key, tie("value"), { maxKeys: 4, noNullPrototype: true }),
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string({ unit: "binary" }),
        fc.boolean(),
        fc.integer(),
        fc.array(tie("value"), { maxLength: 3 }),
        tie("tree"),
      ),
    }));
    fc.assert(fc.property(tree, (written) => assert.deepEqual(treeOf(toToml(written)), written)));
  });
});

function toToml(tree: Tree): string {
  return Object.entries(tree)
    .map(([key, value]) => `${quoted(key)} = ${inline(value)}\n`)
    .join("");
}

function inline(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (isTree(value))
    return `{${Object.entries(value)
      .map(([key, one]) => `${quoted(key)} = ${inline(one)}`)
      .join(", ")}}`;
  return typeof value === "string" ? quoted(value) : String(value);
}

/** JSON's escapes are TOML's, but for those of a lone surrogate, which is no text, and of DEL. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll("\u007F", "\\u007f");
}
