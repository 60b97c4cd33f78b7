import assert from "node:assert/strict";
import { test } from "node:test";

import { startFakeMx } from "../support/fake-mx.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { startReceiver } from "../support/event-receiver.ts";
import { startRelay } from "../support/relay.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";

test("webhooks and the HTTP bounce are told of what happened, and one that is dead delays neither them nor the report", async () => {
  await using mx = await startFakeMx();
  await using webhook = await startReceiver();
  await using bounces = await startReceiver();
  await using dead = await startReceiver();
  dead.answer = () => null;
  await using relay = await startRelay({
    dns: fakeDns({
      "one.example": { mx: [[10, "mx.one.example"]] },
      "sender.example": { mx: [[10, "mx.one.example"]] },
      "mx.one.example": { a: ["127.0.0.1"] },
    }),
    config: {
      zones: { default: { port: mx.port }, bounces: { port: mx.port } },
      webhooks: [{ url: dead.url }, { url: webhook.url, types: ["delivery", "bounce"], secret: "hush" }],
      plugins: { "core/http-bounce": { enabled: "main", url: bounces.url } },
    },
  });
  const recipients = ["550-rcpt@one.example", "fine@one.example"].map(address);
  const { messageId } = await relay.submit(submission({ recipients }));
  const reports = await mx.waitFor(2);
  assert.ok(
    reports.some(({ returnPath, body }) => returnPath === null && /^Action: failed/m.test(body.toString())),
  );
  await bounces.waitFor(1);
  const form = Object.fromEntries(new URLSearchParams(bounces.posts[0]?.body));
  assert.deepEqual([form["id"], form["to"], form["action"]], [messageId, "550-rcpt@one.example", "reject"]);
  while (webhook.taken.filter((event) => event.messageId === messageId).length < 2)
    await webhook.waitFor(webhook.posts.length + 1);
  const told = webhook.taken.filter((event) => event.messageId === messageId);
  assert.deepEqual(told.map(({ type, to }) => `${type} ${to}`).toSorted(), [
    "bounce 550-rcpt@one.example",
    "delivery fine@one.example",
  ]);
  assert.match(String(webhook.posts[0]?.headers["x-zonefleet-signature"]), /^t=\d+,v1=[0-9a-f]{64}$/);
  await dead.waitFor(1);
  assert.deepEqual(dead.taken, []);
});
