import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { hashPassword, NO_PASSWORD, parsePasswordHash, verifyPassword } from "#shared/domain/password.ts";

describe("a stored password", () => {
  test("verifies the password it was made of and no other", async () => {
    const stored = await hashPassword("correct horse", randomBytes);
    assert.equal(await verifyPassword(stored, "correct horse"), true);
    assert.equal(await verifyPassword(stored, "correct horsf"), false);
    assert.equal(await verifyPassword(stored, ""), false);
  });

  test("is another text each time and never holds the password", async () => {
    const [one, two] = await Promise.all([
      hashPassword("secret", randomBytes),
      hashPassword("secret", randomBytes),
    ]);
    assert.notEqual(one, two);
    assert.match(one, /^\$scrypt\$ln=14,r=8,p=5\$/);
    assert.ok(!one.includes("secret"));
    assert.equal(parsePasswordHash(one), one);
  });

  test("verifies however the same letters are composed", async () => {
    const stored = await hashPassword("caf\u00e9", randomBytes);
    assert.equal(await verifyPassword(stored, "cafe\u0301"), true);
  });

  test("of a known vector verifies, whatever its cost", async () => {
    // scrypt("secret", 16 zero bytes, N=2, r=1, p=1), from another implementation
    const stored = parsePasswordHash(
      "$scrypt$ln=1,r=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$NiUss+Ui7BmDduiM3yCR2oCf629FD+1j+oOf6rio8E4",
    );
    assert.ok(stored);
    assert.equal(await verifyPassword(stored, "secret"), true);
    assert.equal(await verifyPassword(stored, "Secret"), false);
  });

  test("is none when it cannot be read or would cost too much", async () => {
    const good = await hashPassword("x", randomBytes);
    for (const text of [
      "",
      "secret",
      "$2b$10$abcdefghijklmnopqrstuv",
      good.replace("ln=14", "ln=30"),
      good.replace("r=8", "r=99"),
      good.replace("p=5", "p=99"),
      good.replace("p=5", "p=0"),
      good.slice(0, -1),
      `${good} `,
    ]) {
      assert.equal(parsePasswordHash(text), null, text);
    }
  });

  test("that stands for none verifies no password", async () => {
    assert.equal(await verifyPassword(NO_PASSWORD, ""), false);
    assert.equal(parsePasswordHash(NO_PASSWORD), NO_PASSWORD);
  });
});
