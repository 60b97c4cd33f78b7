import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { CredentialAnswer } from "#shared/app/credentials.ts";
import { FAILURE_DELAY_MS } from "#shared/app/credentials.ts";
import { MAX_LOGINS_A_SECOND, testLogin } from "#shared/app/test-login.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const ANNA = `Basic ${btoa("anna:secret")}`;

function setUp(answer: CredentialAnswer, { counted = 1 } = {}) {
  const clock = fakeClock();
  const asked: unknown[] = [];
  const check = async (credentials: unknown): Promise<CredentialAnswer> => {
    asked.push(credentials);
    return answer;
  };
  const limits = { countInWindow: async () => counted };
  return { clock, asked, login: (header?: string) => testLogin({ check, limits, clock }, header) };
}

describe("a login that is tried", () => {
  test("is right at once when the account and its password are", async () => {
    const { login, asked } = setUp({ user: "anna", senders: null });
    assert.deepEqual(await login(ANNA), { kind: "right", user: "anna" });
    assert.deepEqual(asked, [{ user: "anna", password: "secret" }]);
  });

  test("is refused as late as by SMTP when it is wrong", async () => {
    const { login, clock } = setUp("wrong");
    let answered = false;
    const answer = login(ANNA).then((tested) => {
      answered = true;
      return tested;
    });
    await clock.advance(0); // so that it waits
    await clock.advance(FAILURE_DELAY_MS - 1);
    assert.equal(answered, false);
    await clock.advance(1);
    assert.deepEqual(await answer, { kind: "wrong", user: "anna" });
  });

  test("asks nobody when there is none", async () => {
    const { login, asked } = setUp({ user: "anna", senders: null });
    for (const header of [undefined, "", "Bearer x.y", "Basic !", `Basic ${btoa("anna:")}`])
      assert.deepEqual(await login(header), { kind: "missing" }, header);
    assert.deepEqual(asked, []);
  });

  test("is neither right nor wrong while too many ask, here or in all processes", async () => {
    assert.deepEqual(await setUp("busy").login(ANNA), { kind: "busy" });
    const anna = { user: "anna", senders: null };
    assert.deepEqual(await setUp(anna, { counted: MAX_LOGINS_A_SECOND }).login(ANNA), {
      kind: "right",
      user: "anna",
    });
    const { login, asked } = setUp(anna, { counted: MAX_LOGINS_A_SECOND + 1 });
    assert.deepEqual(await login(ANNA), { kind: "busy" });
    assert.deepEqual(asked, [], "what is not checked costs nothing");
  });
});
