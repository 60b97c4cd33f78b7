import assert from "node:assert/strict";
import { test } from "node:test";

import { startFakeMx } from "../support/fake-mx.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { describeOverBackends } from "../support/over-backends.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";

const world = (mx: FakeMx) => ({
  dns: fakeDns({
    "one.example": { mx: [[10, "mx.one.example"]] },
    "sender.example": { mx: [[10, "mx.one.example"]] },
    "nullmx.example": { mx: [[0, ""]] },
    "mx.one.example": { a: ["127.0.0.1"] },
  }),
  config: {
    zones: { default: { port: mx.port }, bounces: { port: mx.port } },
    queue: { deferTimes: [50, 50] },
  },
});

describeOverBackends("a recipient that is refused", (startRelay) => {
  for (const [where, recipient] of [
    ["at RCPT", "550-rcpt@one.example"],
    ["after the content", "550-data@one.example"],
    ["by a domain that takes no mail", "you@nullmx.example"],
    ["by a domain that does not exist", "you@gone.example"],
  ] as const) {
    test(`${where} bounces, and the sender is told`, async () => {
      await using mx = await startFakeMx();
      const { dns, config } = world(mx);
      dns.names["gone.example"] = { mx: "nxdomain", a: "nxdomain" };
      await using relay = await startRelay({ dns, config });
      const { messageId } = await relay.submit(submission({ recipients: [address(recipient)] }));
      const { rows } = await relay.finished(messageId);
      assert.equal(rows[0]?.state, "bounced");
      const [report] = await mx.waitFor(1);
      assert.equal(report?.returnPath, null);
      assert.deepEqual(report?.recipients, ["sender@sender.example"]);
      assert.match(report?.body.toString() ?? "", /^Action: failed\r$/m);
      assert.match(report?.body.toString() ?? "", /^Status: 5\./m);
    });
  }

  test("does not keep the others of the same message from getting it", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay(world(mx));
    const recipients = ["a@one.example", "550-rcpt@one.example", "451-rcpt@one.example", "b@one.example"].map(
      address,
    );
    const { messageId } = await relay.submit(submission({ recipients }));
    const { rows } = await relay.finished(messageId);
    assert.deepEqual(
      rows.map(({ state }) => state),
      ["delivered", "bounced", "expired", "delivered"],
    );
    const first = mx.mails[0];
    assert.deepEqual(first?.recipients, ["a@one.example", "b@one.example"]);
  });

  test("for now is tried again, and delivered when the host has changed its mind", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay(world(mx));
    const { messageId } = await relay.submit(submission({ recipients: [address("greylist@one.example")] }));
    const { rows } = await relay.finished(messageId);
    assert.equal(rows[0]?.state, "delivered");
    assert.equal(rows[0]?.attempts, 2);
  });

  test("whose host hangs up after the content is tried again, and the attempt is marked as ambiguous", async () => {
    await using mx = await startFakeMx();
    const again = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    let hangUps = 0;
    mx.rules.message = async () => {
      if (hangUps++ === 0) return { do: "hang-up" };
      again.resolve();
      await goOn.promise;
      return { do: "accept" };
    };
    await using relay = await startRelay(world(mx));
    const { messageId } = await relay.submit(submission({ recipients: [address("you@one.example")] }));
    await again.promise;
    const tried = await relay.message(messageId);
    goOn.resolve();
    assert.equal(tried.rows[0]?.lastAttempt?.cause, "ambiguous");
    const { rows } = await relay.finished(messageId);
    assert.equal(rows[0]?.state, "delivered");
  });
});
