import assert from "node:assert/strict";
import { test } from "node:test";

import { startFakeMx } from "../support/fake-mx.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startRelay } from "../support/relay.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";

test("a site that asks for less mail is slowed for the zone that heard it, and gets all its mail", async () => {
  await using mx = await startFakeMx();
  let complaints = 0;
  mx.rules.recipient = () =>
    complaints++ === 0
      ? { do: "reply", code: 421, text: "4.7.0 Too many connections, slow down" }
      : { do: "accept" };
  await using relay = await startRelay({
    dns: fakeDns(oneExample()),
    config: {
      zones: { default: { port: mx.port }, quick: { port: mx.port, senderDomains: ["quick.example"] } },
      queue: { deferTimes: [50, 50, 50] },
    },
  });
  const send = async (recipient: string, returnPath = "me@sender.example") => {
    const { messageId } = await relay.submit(
      submission({ recipients: [address(recipient)], returnPath: address(returnPath) }),
    );
    return messageId;
  };
  const first = await send("first@one.example");
  assert.equal((await relay.finished(first)).rows[0]?.attempts, 2);
  const slowed = await relay.backend.limits.slowed();
  assert.deepEqual(
    slowed.map(({ zone, step, response }) => [zone, step, response]),
    [["default", 1, "421 4.7.0 Too many connections, slow down"]],
  );
  const ids = await Promise.all([
    ...Array.from({ length: 10 }, (_, i) => send(`r${i}@one.example`)),
    send("other@one.example", "me@quick.example"),
  ]);
  for (const id of ids) assert.equal((await relay.finished(id)).rows[0]?.state, "delivered");
  assert.equal((await relay.backend.limits.slowed())[0]?.step, 1, "mail that is taken is no complaint");
});
