import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";

import { removeAccount } from "#shared/app/accounts.ts";
import { hashPassword } from "#shared/domain/password.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import { credentialCheck, RECHECK_MS } from "#shared/app/credentials.ts";
import type { Credentials } from "#shared/app/credentials.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";

const anna = { user: "anna", password: "secret" };
let annasHash = "";
/** Of "secret", at next to no cost. */
const CHEAP_HASH = "$scrypt$ln=1,r=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$NiUss+Ui7BmDduiM3yCR2oCf629FD+1j+oOf6rio8E4";

/** Counts how often the store is asked: a remembered password asks for nothing until it is checked again. */
async function checking(): Promise<{
  secrets: SecretStore;
  check: (credentials: Credentials) => Promise<"right" | "wrong" | "busy">;
  clock: ReturnType<typeof fakeClock>;
  asked: () => number;
}> {
  const inner = memorySecrets();
  let asked = 0;
  const secrets: SecretStore = {
    ...inner,
    get(kind, name) {
      asked += 1;
      return inner.get(kind, name);
    },
  };
  await secrets.put("account", "anna", annasHash);
  const clock = fakeClock();
  const check = credentialCheck({ secrets, clock, key: randomBytes(32) });
  return {
    secrets,
    clock,
    check: async (credentials) => {
      const answer = await check(credentials);
      return typeof answer === "string" ? answer : "right";
    },
    asked: () => asked,
  };
}

describe("credentials", () => {
  before(async () => {
    annasHash = await hashPassword(anna.password, randomBytes);
  });

  test("are right for the account's password alone", async () => {
    const { check } = await checking();
    assert.equal(await check(anna), "right");
    assert.equal(await check({ user: "anna", password: "Secret" }), "wrong");
    assert.equal(await check({ user: "anna", password: "" }), "wrong");
    assert.equal(await check({ user: "Anna", password: "secret" }), "wrong");
    assert.equal(await check({ user: "", password: "" }), "wrong");
  });

  test("of an unknown user take the way of a known one", async () => {
    const { check, asked } = await checking();
    assert.equal(await check({ user: "nobody", password: "secret" }), "wrong");
    assert.equal(asked(), 1);
  });

  test("that were right are remembered, and wrong ones beside them are still wrong", async () => {
    const { check, asked } = await checking();
    await check(anna);
    assert.equal(asked(), 1);
    for (let i = 0; i < 100; i++) assert.equal(await check(anna), "right");
    assert.equal(asked(), 1, "no more work for a password that is known");
    assert.equal(await check({ user: "anna", password: "guess" }), "wrong");
    assert.equal(await check(anna), "right");
  });

  test("are looked up again after a while, so that a removed account ends", async () => {
    const { check, secrets, clock, asked } = await checking();
    await check(anna);
    await clock.advance(RECHECK_MS);
    assert.equal(await check(anna), "right");
    assert.equal(asked(), 2, "looked up, not computed anew");
    await removeAccount({ secrets }, "anna");
    await clock.advance(RECHECK_MS);
    assert.equal(await check(anna), "wrong");
  });

  test("are wrong once the password was changed and the old one is looked up again", async () => {
    const { check, secrets, clock } = await checking();
    await check(anna);
    await secrets.put("account", "anna", await hashPassword("new", randomBytes));
    await clock.advance(RECHECK_MS);
    assert.equal(await check(anna), "wrong");
    assert.equal(await check({ user: "anna", password: "new" }), "right");
  });

  test("are turned away when too many ask at once, and taken again after that", async () => {
    const { check, secrets } = await checking();
    await secrets.put("account", "anna", CHEAP_HASH);
    const answers = await Promise.all(
      Array.from({ length: 80 }, () => check({ user: "anna", password: "guess" })),
    );
    assert.equal(answers.filter((answer) => answer === "busy").length, 14, "two at work and 64 in the queue");
    assert.equal(answers.filter((answer) => answer === "wrong").length, 66);
    assert.equal(await check(anna), "right");
  });

  test("longer than any account's are wrong at once", async () => {
    const { check, asked } = await checking();
    assert.equal(await check({ user: "anna", password: "x".repeat(257) }), "wrong");
    assert.equal(await check({ user: "x".repeat(257), password: "secret" }), "wrong");
    assert.equal(asked(), 0);
  });

  test("cannot be checked against what is no hash, nor when the store is down", async () => {
    const { check, secrets } = await checking();
    await secrets.put("account", "ben", "not a hash");
    await assert.rejects(check({ user: "ben", password: "x" }), /set it anew/);
    const down = credentialCheck({
      secrets: { ...secrets, get: () => Promise.reject(new Error("store is down")) },
      clock: fakeClock(),
      key: randomBytes(32),
    });
    await assert.rejects(down(anna), /store is down/);
    await assert.rejects(down(anna), /store is down/, "a failure leaves its place free");
  });
});
