/** What an operator does by HTTP reaches the senders: held mail waits, freed mail goes, and a late suppression still holds. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { EpochMs } from "#shared/domain/units.ts";
import { HOUR } from "#shared/domain/units.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { describeOverBackends } from "../support/over-backends.ts";
import type { Relay } from "../support/relay.ts";

const dns = fakeDns({ "one.example": { a: ["127.0.0.1"] } });

async function post<T>(relay: Relay, path: string, body: object): Promise<T> {
  const response = await fetch(new URL(path, relay.httpUrl), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as T;
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

describeOverBackends("operators decide what is sent", (startRelay) => {
  test("mail of one sender is suppressed after it was accepted, and that of another goes when it is retried", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({ dns, config: { zones: { default: { port: mx.port } } } });
    const notBefore = (Date.now() + HOUR) as EpochMs;
    const submit = (from: string) =>
      relay.submit(
        submission({ returnPath: address(from), recipients: [address("you@one.example")], notBefore }),
      );
    const ofShop = await submit("news@shop.example");
    const ofBlog = await submit("news@blog.example");
    await post(relay, "/suppressionlist", { address: "you@one.example", sender: "shop.example" });
    const dry = await post<{ matched: number }>(relay, "/queue/retry", {
      domain: "one.example",
      dryRun: true,
    });
    assert.equal(dry.matched, 2);
    const done = await post<{ changed: number }>(relay, "/queue/retry", { domain: "one.example" });
    assert.equal(done.changed, 2);
    assert.equal((await relay.finished(ofShop.messageId)).rows[0]?.state, "suppressed");
    assert.equal((await relay.finished(ofBlog.messageId)).rows[0]?.state, "delivered");
    assert.equal(mx.said.filter((line) => line.startsWith("DATA")).length, 1);
  });

  test("held mail is not sent, even when it is due, and goes when it is released", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({ dns, config: { zones: { default: { port: mx.port } } } });
    const recipients = [address("you@one.example")];
    const waits = await relay.submit(submission({ recipients, notBefore: (Date.now() + HOUR) as EpochMs }));
    await post(relay, "/queue/hold", { sender: "sender.example" });
    assert.equal((await post<{ changed: number }>(relay, "/queue/retry", { all: true })).changed, 0);
    const other = await relay.submit(submission({ recipients }));
    await relay.finished(other.messageId);
    assert.equal((await relay.message(waits.messageId)).rows[0]?.state, "held");
    const released = await post<{ changed: number }>(relay, "/queue/release", { all: true });
    assert.equal(released.changed, 1);
    assert.equal((await relay.finished(waits.messageId)).rows[0]?.state, "delivered");
  });
});
