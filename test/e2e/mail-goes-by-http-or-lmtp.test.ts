/** Zones whose mail does not go by SMTP, through a whole relay. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { MessageId } from "#shared/domain/ids.ts";

import { fakeDns } from "../support/fake-dns.ts";
import { httpPeer } from "../support/http-peer.ts";
import { startRelay } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";
import { answering, scriptedPeer } from "../support/scripted-peer.ts";

async function send({ httpUrl }: Relay, to: readonly string[]): Promise<MessageId> {
  const response = await fetch(`${httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ from: "me@sender.example", to, subject: "Hello", text: "It works.\n" }),
  });
  return ((await response.json()) as { id: MessageId }).id;
}

async function fates(relay: Relay, id: MessageId): Promise<string[]> {
  const { rows } = await relay.finished(id);
  return rows.map(({ state, lastAttempt }) => `${state} ${lastAttempt?.cause} ${lastAttempt?.status}`);
}

describe("mail of a zone", { timeout: 30_000 }, () => {
  test("with http is posted, each recipient with his own answer, and no domain is looked up", async () => {
    await using server = await httpPeer(({ body }) => ({
      status: /name="to"\r\n\r\nben@/.test(body) ? 410 : 200,
    }));
    const dns = fakeDns({});
    const zones = { default: { http: `${server.url}/in` } };
    await using relay = await startRelay({ dns, config: { zones } });
    const id = await send(relay, ["anna@one.example", "ben@two.example"]);
    assert.deepEqual(await fates(relay, id), ["delivered null 2.0.0", "bounced http 5.0.0"]);
    const { rows } = await relay.message(id);
    assert.match(rows[1]?.lastAttempt?.detail ?? "", /\/in answered 410$/);
    const posts = server.asked.filter(({ body }) => body.includes(`${id}.00`));
    assert.equal(posts.length, 2);
    assert.match(posts[0]?.body ?? "", /Received: from [\s\S]*\r\n\r\nIt works\.\r\n/);
    assert.ok(!dns.asked.some((question) => question.includes("one.example")));
  });

  test("with lmtp goes to its mail store, each recipient with his own answer", async () => {
    await using store = await scriptedPeer(
      answering({ DOT: "250 2.1.5 stored\r\n550 5.1.1 no such mailbox" }),
    );
    const zones = { default: { host: "127.0.0.1", port: store.port, lmtp: true } };
    await using relay = await startRelay({ dns: fakeDns({}), config: { zones } });
    const id = await send(relay, ["anna@one.example", "ben@one.example"]);
    const deadline = Date.now() + 20_000;
    for (;;) {
      const { rows } = await relay.message(id);
      const states = rows.map(({ state }) => state);
      if (states[0] === "delivered" && states[1] !== "leased") {
        assert.deepEqual(states, ["delivered", "bounced"]);
        break;
      }
      assert.ok(Date.now() < deadline, JSON.stringify(rows, null, 1));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.match(store.lines[0] ?? "", /^LHLO /);
    assert.deepEqual(
      store.lines.filter((line) => line.startsWith("RCPT")),
      ["RCPT TO:<anna@one.example>", "RCPT TO:<ben@one.example>"],
    );
  });
});
