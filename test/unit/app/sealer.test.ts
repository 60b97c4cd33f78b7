import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import fc from "fast-check";

import { aesSealer, SEAL_KEY_BYTES } from "#shared/app/sealer.ts";

const sealer = aesSealer(randomBytes(SEAL_KEY_BYTES));

test("what is sealed opens again at its place, and looks different each time", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), (text, place) => {
      const sealed = sealer.seal(text, place);
      assert.equal(sealer.open(sealed, place), text);
      assert.notEqual(sealer.seal(text, place), sealed);
    }),
  );
});

test("it opens at no other place, with no other key, and not when a bit was changed", () => {
  const sealed = sealer.seal("secret", "dkim/one.example");
  assert.throws(() => sealer.open(sealed, "dkim/two.example"));
  assert.throws(() => aesSealer(randomBytes(SEAL_KEY_BYTES)).open(sealed, "dkim/one.example"));
  const bytes = Buffer.from(sealed.slice("v1.".length), "base64");
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes);
    changed[i] = (changed[i] ?? 0) ^ 1;
    assert.throws(() => sealer.open(`v1.${changed.toString("base64")}`, "dkim/one.example"), `byte ${i}`);
  }
});

test("what was never sealed does not open", () => {
  for (const text of ["", "v1.", "v1.AAAA", "v2.AAAA", "-----BEGIN PRIVATE KEY-----"])
    assert.throws(() => sealer.open(text, "dkim/one.example"), /dkim\/one\.example/);
});

test("a key of another length is refused", () => {
  assert.throws(() => aesSealer(randomBytes(SEAL_KEY_BYTES - 1)), RangeError);
});
