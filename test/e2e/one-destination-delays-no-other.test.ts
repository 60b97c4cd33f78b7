import assert from "node:assert/strict";
import { test } from "node:test";

import { startFakeMx } from "../support/fake-mx.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { describeOverBackends } from "../support/over-backends.ts";
import { fewer, patient } from "../support/patience.ts";
import { eventually } from "../support/relay-process.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";

const CAP = 3;
/** Far more than a lane holds connections for. */
const BACKLOG = fewer(200);

describeOverBackends("a destination at its limit", (startRelay) => {
  test("has never more connections than it may, and its backlog holds up no other destination", async () => {
    const gate = Promise.withResolvers<void>();
    await using mx = await startFakeMx();
    mx.rules.message = async ({ recipients }) => {
      if (recipients[0]?.endsWith("@slow.example") === true) await gate.promise;
      return { do: "accept" };
    };
    const dns = fakeDns({
      "slow.example": { mx: [[10, "mx.slow.example"]] },
      "mx.slow.example": { a: ["127.0.0.1"] },
      "quick.example": { mx: [[10, "mx.quick.example"]] },
      "mx.quick.example": { a: ["127.0.0.1"] },
    });
    const config = {
      zones: { default: { port: mx.port } },
      domainConfig: { "slow.example": { maxConnections: CAP } },
    };
    await using relay = await startRelay({ dns, config });
    const slow = await Promise.all(
      Array.from({ length: BACKLOG }, (_, i) =>
        relay.submit(submission({ recipients: [address(`r${i}@slow.example`)] })),
      ),
    );
    const quick = await relay.submit(submission({ recipients: [address("you@quick.example")] }));
    const { rows } = await relay.finished(quick.messageId);
    assert.equal(rows[0]?.state, "delivered", "while everything for the other destination waits");
    const held = (): number =>
      mx.said.filter((line) => line.startsWith("DATA") && line.includes("@slow.example")).length;
    await eventually("all the connections it may have", patient(10_000), () =>
      held() === CAP ? true : null,
    );
    assert.ok(mx.counts.mostAtOnce <= CAP + 1, `${mx.counts.mostAtOnce} connections`);
    gate.resolve();
    await mx.waitFor(BACKLOG + 1);
    for (const { messageId } of slow) await relay.finished(messageId);
    assert.ok(mx.counts.mostAtOnce <= CAP + 1, `${mx.counts.mostAtOnce} connections`);
  });
});

describeOverBackends("egress addresses", (startRelay) => {
  test("an address that the site refuses is left, and the mail goes at once from another of the pool", async () => {
    await using mx = await startFakeMx();
    const peers: string[] = [];
    mx.rules.recipient = (_, { peer }) => {
      peers.push(peer.ip);
      if (peers.length > 1) return { do: "accept" };
      const text = `5.7.1 Service unavailable; client host [${peer.ip}] blocked using bl.example`;
      return { do: "reply", code: 554, text };
    };
    const dns = fakeDns({ "one.example": { a: ["127.0.0.1"] } });
    const config = {
      pools: {
        out: [
          { address: "127.0.0.2", name: "a.example" },
          { address: "127.0.0.3", name: "b.example" },
        ],
      },
      zones: { default: { port: mx.port, pool: "out" } },
    };
    await using relay = await startRelay({ dns, config });
    const { messageId } = await relay.submit(submission({ recipients: [address("you@one.example")] }));
    const { rows } = await relay.finished(messageId);
    assert.equal(rows[0]?.state, "delivered");
    assert.deepEqual(peers.toSorted(), ["127.0.0.2", "127.0.0.3"]);
    assert.deepEqual(
      (await relay.backend.limits.blocked()).map(({ address }) => address),
      [peers[0]],
    );
  });

  test("an address with ratio 0 is never used", async () => {
    await using mx = await startFakeMx();
    const peers = new Set<string>();
    mx.rules.connect = ({ ip }) => {
      peers.add(ip);
      return { do: "accept" };
    };
    const dns = fakeDns({ "one.example": { a: ["127.0.0.1"] } });
    const config = {
      pools: {
        out: [
          { address: "127.0.0.2", name: "a.example", ratio: 0 },
          { address: "127.0.0.3", name: "b.example" },
        ],
      },
      zones: { default: { port: mx.port, pool: "out", connectionCache: { reuseCount: 1 } } },
    };
    await using relay = await startRelay({ dns, config });
    const sent = await Promise.all(
      Array.from({ length: 30 }, () =>
        relay.submit(submission({ recipients: [address("you@one.example")] })),
      ),
    );
    await Promise.all(sent.map(({ messageId }) => relay.finished(messageId)));
    assert.deepEqual([...peers], ["127.0.0.3"]);
  });
});
