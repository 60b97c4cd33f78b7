/** `Idempotency-Key` over real sockets: a client that asks again gets the answer it missed, and its recipient one mail. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addApiKey } from "#shared/app/api-keys.ts";
import { KIB } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { realSubmit, startApi } from "../support/api-harness.ts";

const mail = { from: "anna@example.com", to: ["ben@example.net", "carl@example.net"], subject: "hello" };
const raw = `From: anna@example.com\r\nTo: ben@example.net\r\n\r\n${"x".repeat(200 * KIB)}\r\n`;

let api: ApiHarness;
before(async () => {
  api = await startApi();
});
after(() => api[Symbol.asyncDispose]());

async function queued(): Promise<number> {
  return (await api.ask("GET", "/counter/zone/")).json.active.rows;
}

describe("a request with an Idempotency-Key", () => {
  const requests: [path: string, body: unknown][] = [
    ["/send", mail],
    ["/send-raw", raw],
    ["/send-raw?to=dora@example.net&from=", raw],
  ];
  for (const [i, [path, body]] of requests.entries()) {
    const headers = { "idempotency-key": `order ${i}` };

    test(`on ${path} is answered alike however often it comes, and sends one mail`, async () => {
      const before = await queued();
      const first = await api.ask("POST", path, { headers, body });
      assert.deepEqual([first.status, first.headers["idempotent-replayed"]], [200, undefined], first.text);
      const sent = await queued();
      assert.equal(sent, before + first.json.to.length);
      const again = await api.ask("POST", path, { headers, body });
      assert.deepEqual([again.status, again.headers["idempotent-replayed"]], [200, "true"]);
      assert.equal(again.text, first.text);
      assert.equal(await queued(), sent);
    });

    test(`on ${path} that comes many times at once sends one mail, and all hear of it`, async () => {
      const before = await queued();
      const race = { "idempotency-key": `race ${i}` };
      const asked = Array.from({ length: 6 }, () => api.ask("POST", path, { headers: race, body }));
      const answers = await Promise.all(asked);
      assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
      const [text, ...others] = new Set(answers.map((answer) => answer.text));
      assert.deepEqual(others, []);
      assert.equal(await queued(), before + JSON.parse(text as string).to.length);
    });
  }

  test("is refused when it is another request, whatever differs", async () => {
    const headers = { "idempotency-key": "one thing" };
    assert.equal((await api.ask("POST", "/send-raw", { headers, body: raw })).status, 200);
    const before = await queued();
    const others: [path: string, body: unknown][] = [
      ["/send-raw", `${raw}.`],
      ["/send-raw?to=dora@example.net", raw],
      ["/send-raw?from=", raw],
      ["/send", mail],
    ];
    for (const [path, body] of others) {
      const { status, json } = await api.ask("POST", path, { headers, body });
      assert.deepEqual([status, json.code], [422, "idempotency-key-reused"], path);
    }
    assert.equal(await queued(), before);
  });

  test("may come again corrected when it was refused", async () => {
    const headers = { "idempotency-key": "a typo" };
    const refused = await api.ask("POST", "/send", { headers, body: { ...mail, subjetc: "x" } });
    assert.equal(refused.status, 400);
    assert.equal((await api.ask("POST", "/send", { headers, body: mail })).status, 200);
  });

  test("needs a key that can be kept", async () => {
    for (const key of ["", "k".repeat(256), "ümlaut"]) {
      const headers = { "idempotency-key": Buffer.from(key).toString("latin1") };
      const { status, json } = await api.ask("POST", "/send", { headers, body: mail });
      assert.deepEqual([status, json.path], [400, "idempotency-key"], key);
    }
  });
});

test("after a fault of ours the same key sends the mail, once", async () => {
  let failing = true;
  await using flaky = await startApi({
    submit: (submission) => (failing ? Promise.reject(new Error("the disk is gone")) : real(submission)),
  });
  const real = realSubmit(flaky.config, flaky.backend);
  const ask = () => flaky.ask("POST", "/send", { headers: { "idempotency-key": "k" }, body: mail });
  assert.equal((await ask()).status, 503);
  failing = false;
  const [first, second] = [await ask(), await ask()];
  assert.deepEqual([first.status, second.text], [200, first.text]);
});

test("an Idempotency-Key is of the API key and the user it came with", async () => {
  await using guarded = await startApi();
  const keyOf = () =>
    addApiKey(
      { secrets: guarded.backend.secrets, clock: systemClock, random: randomBytes },
      { scopes: ["send"], label: "" },
    );
  const [one, other] = [(await keyOf()).key, (await keyOf()).key];
  const send = async (key: string, user: string | null) => {
    const headers = {
      authorization: `Bearer ${key}`,
      "idempotency-key": "order 1",
      ...(user === null ? {} : { "x-authenticated-user": user }),
    };
    return (await guarded.ask("POST", "/send", { headers, body: mail })).json.id as string;
  };
  const ids = [
    await send(one, null),
    await send(other, null),
    await send(one, "shop"),
    await send(one, "blog"),
  ];
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual([await send(one, "shop"), await send(other, null)], [ids[2], ids[1]]);
});

test("uploads are not needed on one machine, and it says so", async () => {
  const made = await api.ask("POST", "/uploads");
  assert.deepEqual([made.status, made.json.code], [404, "not-found"]);
  assert.match(made.json.error, /POST \/send-raw/);
  const sent = await api.ask("POST", "/send-raw?upload=01hzzzzzzzzzzzzzzzzzzzzzzz");
  assert.deepEqual([sent.status, sent.json.path], [404, "upload"]);
});
