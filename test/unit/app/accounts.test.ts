import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { putAccount, removeAccount } from "#shared/app/accounts.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { parsePasswordHash, verifyPassword } from "#shared/domain/password.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";

describe("an SMTP account", () => {
  test("is kept as the hash of its password, which can be changed", async () => {
    const secrets = memorySecrets();
    await putAccount({ secrets, randomBytes }, { user: "anna", password: "old" });
    await putAccount({ secrets, randomBytes }, { user: "anna", password: "new" });
    const stored = parsePasswordHash((await secrets.get("account", "anna")) ?? "");
    assert.ok(stored);
    assert.equal(await verifyPassword(stored, "new"), true);
    assert.equal(await verifyPassword(stored, "old"), false);
  });

  test("is gone when it is removed", async () => {
    const secrets = memorySecrets();
    await putAccount({ secrets, randomBytes }, { user: "anna", password: "secret" });
    assert.equal(await removeAccount({ secrets }, "anna"), true);
    assert.equal(await removeAccount({ secrets }, "anna"), false);
    assert.deepEqual(await secrets.list("account"), []);
  });

  test("is refused when no client could log in to it", async () => {
    const secrets = memorySecrets();
    for (const [user, password, path] of [
      ["", "secret", "user"],
      ["anna", "", "password"],
      ["an\0na", "secret", "user"],
      ["anna", "sec\nret", "password"],
      ["a".repeat(257), "secret", "user"],
    ] as const) {
      await assert.rejects(
        putAccount({ secrets, randomBytes }, { user, password }),
        (error) => error instanceof DomainError && error.code === "invalid-request" && error.path === path,
      );
    }
    assert.deepEqual(await secrets.list("account"), []);
  });
});
