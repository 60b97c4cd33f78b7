import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import type { Value } from "#shared/aws/items.ts";
import { marshal, unmarshal } from "#shared/aws/items.ts";

const { value } = fc.letrec<{ value: Value; list: readonly Value[]; map: Readonly<Record<string, Value>> }>(
  (tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.string(),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0), // there is no -0
      fc.boolean(),
      fc.constant(null),
      tie("list"),
      tie("map"),
    ),
    list: fc.array(tie("value"), { maxLength: 4 }),
    map: fc.dictionary(fc.string(), tie("value"), { maxKeys: 4, noNullPrototype: true }),
  }),
);

test("any plain value is read as it was written", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), value, { maxKeys: 5, noNullPrototype: true }), (values) => {
      assert.deepEqual(unmarshal(marshal(values)), values);
    }),
  );
});

test("a name that JavaScript has a meaning for is a name like any", () => {
  const values = JSON.parse('{"__proto__":{"a":1},"constructor":"c"}') as Record<string, Value>;
  assert.deepEqual(unmarshal(marshal(values)), values);
  assert.equal(Object.getPrototypeOf(unmarshal(marshal(values))), Object.prototype);
});

test("what a newer version has added in kinds we do not write is left out", () => {
  const item = { kept: { S: "text" }, set: { SS: ["a"] }, bytes: { B: Buffer.from("b") } };
  assert.deepEqual(unmarshal(item), { kept: "text" });
});
