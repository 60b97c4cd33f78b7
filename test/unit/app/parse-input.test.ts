import assert from "node:assert/strict";
import { test } from "node:test";

import * as z from "zod";

import { parseInput, printPath } from "#shared/app/parse-input.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { nearestName } from "#shared/domain/nearest.ts";

const Schema = z.strictObject({
  name: z.string(),
  inner: z.strictObject({ size: z.int().max(9) }).optional(),
  either: z
    .union([z.string(), z.strictObject({ deep: z.number() })], { error: "expected this or that" })
    .optional(),
});

function problem(input: unknown): { text: string; path: string | null } {
  try {
    parseInput(Schema, input);
  } catch (error) {
    assert.ok(error instanceof DomainError);
    assert.equal(error.code, "invalid-request");
    return { text: error.message, path: error.path };
  }
  throw new Error("nothing was refused");
}

test("what fits comes back as the schema makes it", () => {
  assert.deepEqual(parseInput(Schema, { name: "a" }), { name: "a" });
});

test("an unknown field is named with the known one it is near to", () => {
  assert.deepEqual(problem({ nmae: "a", name: "b" }), {
    text: "nmae: unknown field; did you mean name?",
    path: "nmae",
  });
  assert.deepEqual(problem({ name: "b", zzzzz: 1 }), {
    text: "zzzzz: unknown field; remove it",
    path: "zzzzz",
  });
});

test("the path leads to what is wrong, also inside a union", () => {
  assert.equal(problem({ name: "a", inner: { size: 10 } }).path, "inner.size");
  assert.equal(problem({ name: "a", either: { deep: "x" } }).path, "either.deep");
  assert.deepEqual(problem({ name: "a", either: 5 }), {
    text: "either: expected this or that",
    path: "either",
  });
});

test("what is missing, of the wrong kind, or no object at all is told apart", () => {
  assert.deepEqual(problem({}), { text: "name: is missing (expected string)", path: "name" });
  assert.deepEqual(problem({ name: 1 }), { text: "name: expected string, received number", path: "name" });
  assert.deepEqual(problem([]), { text: "the body: expected object, received array", path: null });
});

test("paths print as a person would write them, on one line", () => {
  assert.equal(printPath(["to", 3, "name"]), "to[3].name");
  assert.equal(printPath(["headers", "a\r\nb"]), String.raw`headers["a\r\nb"]`);
  assert.ok(printPath(["x".repeat(5_000)]).length < 100);
});

test("a near name is one that few changes make of the given one", () => {
  assert.equal(nearestName("subjct", ["subject", "sender"]), "subject");
  assert.equal(nearestName("SUBJECT", ["subject"]), "subject");
  assert.equal(nearestName("xyz", ["subject", "sender"]), null);
  assert.equal(nearestName("x".repeat(1_000), ["subject"]), null);
  assert.equal(nearestName("a", []), null);
});
