import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { addApiKey, apiKeyRing, KEY_TTL_MS, listApiKeys, removeApiKey } from "#shared/app/api-keys.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";

function setUp(secrets: SecretStore = memorySecrets()) {
  const clock = fakeClock();
  const add = (scopes: string[], label = "") =>
    addApiKey({ secrets, clock, random: randomBytes }, { scopes, label });
  return { secrets, clock, add, ring: apiKeyRing({ secrets, clock }) };
}

describe("API keys", () => {
  test("a new key opens with its id and secret, and tells its scopes", async () => {
    const { add, ring, clock } = setUp();
    const { id, key } = await add(["send", "read"], "shop");
    assert.deepEqual(await ring.verify(key), {
      id,
      scopes: ["send", "read"],
      label: "shop",
      createdAt: clock.now(),
    });
  });

  test("the secret is not in the store", async () => {
    const { add, secrets } = setUp();
    const { id, key } = await add(["send"]);
    const stored = await secrets.get("api-key", id);
    assert.ok(stored);
    assert.ok(!stored.includes(key.split(".")[1] as string));
  });

  test("a wrong secret, another key's secret or anything else opens nothing", async () => {
    const { add, ring } = setUp();
    const one = await add(["send"]);
    const two = await add(["send"]);
    const swapped = `${one.id}.${two.key.split(".")[1]}`;
    const flipped = one.key.slice(0, -2) + (one.key.at(-2) === "A" ? "B" : "A") + one.key.slice(-1);
    for (const text of [
      "",
      "x",
      one.id,
      `${one.id}.`,
      swapped,
      flipped,
      `${one.key}x`,
      ` ${one.key}`,
      "../../x.y",
    ]) {
      assert.equal(await ring.verify(text), null, text);
    }
  });

  test("a removed key closes within its time in the cache, and a new one opens at once", async () => {
    const { add, ring, clock, secrets } = setUp();
    const { id, key } = await add(["read"]);
    assert.ok(await ring.verify(key));
    await removeApiKey(secrets, id);
    await clock.advance(KEY_TTL_MS);
    assert.equal(await ring.verify(key), null);
    assert.ok(await ring.verify((await add(["read"])).key));
  });

  test("the store is asked once for a key that is used often", async () => {
    const inner = memorySecrets();
    let asked = 0;
    const { add, ring } = setUp({ ...inner, get: (kind, name) => (asked++, inner.get(kind, name)) });
    const { key } = await add(["send"]);
    for (let i = 0; i < 5; i++) await ring.verify(key);
    assert.equal(asked, 1);
  });

  test("guessed ids do not grow the cache without bound, and do not lock the true key out", async () => {
    const { add, ring } = setUp();
    const { key } = await add(["send"]);
    for (let i = 0; i < 3_000; i++) {
      await ring.verify(`${i.toString(16).padStart(12, "0")}.${"A".repeat(43)}`);
    }
    assert.ok(await ring.verify(key));
  });

  test("the list shows keys without secrets, and passes over what is no key", async () => {
    const { add, secrets } = setUp();
    const { id } = await add(["admin"], "console");
    await secrets.put("api-key", "broken", "not json");
    await secrets.put("api-key", "odd", '{"hash":"x"}');
    const listed = await listApiKeys(secrets);
    assert.deepEqual(
      listed.map((key) => [key.id, key.scopes, key.label]),
      [[id, ["admin"], "console"]],
    );
  });

  test("scopes that are none, no scopes, and labels of many lines are refused", async () => {
    const { add } = setUp();
    await assert.rejects(add(["root"]), /root is no scope/);
    await assert.rejects(add([]), /send, read, admin/);
    await assert.rejects(add(["send"], "a\nb"), /on one line/);
    await assert.rejects(add(["send"], "a".repeat(101)), /at most 100/);
  });
});
