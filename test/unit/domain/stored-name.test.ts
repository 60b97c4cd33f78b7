import assert from "node:assert/strict";
import { test } from "node:test";

import { checkDocumentName, checkKind, isStorableName } from "#shared/domain/stored-name.ts";

test("a name is text of up to 1,000 bytes that keys of all stores can hold", () => {
  for (const name of ["a", "Jõgeva.ee/x y", "é".repeat(500)]) assert.equal(isStorableName(name), true, name);
  for (const name of ["", "a\0b", "\ud800", "é".repeat(500) + "x"])
    assert.equal(isStorableName(name), false, JSON.stringify(name));
});

test("a document with another name or kind is refused, and the field named", () => {
  checkDocumentName("one");
  checkKind("smtp-rule");
  assert.throws(() => checkDocumentName(""), { code: "invalid-request", path: "name" });
  for (const kind of ["", "Rule", "1st", "a/b"])
    assert.throws(() => checkKind(kind), { code: "invalid-request", path: "kind" });
});
