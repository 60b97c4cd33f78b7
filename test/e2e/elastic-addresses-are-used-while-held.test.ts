import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { MessageId } from "#shared/domain/ids.ts";
import { HOUR, later, SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

import { heldAddresses } from "../../sender/addresses/held-addresses.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { patient } from "../support/patience.ts";
import { eventually } from "../support/relay-process.ts";
import { startRelay } from "../support/relay.ts";

const PATIENCE_MS = patient(15 * SECOND);

/** A sender whose zone has two Elastic IPs, in the place of a supervisor that says which of them are here. */
async function scene() {
  const scope = new AsyncDisposableStack();
  const mx = scope.use(await startFakeMx());
  const held = heldAddresses(systemClock);
  const pool = ["m1.example", "m2.example"].map((name) => ({ address: "elastic", name }));
  const relay = scope.use(
    await startRelay({
      dns: fakeDns(oneExample()),
      config: {
        pools: { default: pool },
        zones: { default: { port: mx.port, connectionCache: { ttl: 60, reuseCount: 100 } } },
      },
      addresses: held,
    }),
  );
  let count = 0;
  return {
    mx,
    relay,
    hold: (places: Readonly<Record<string, string>>) =>
      held.replace(
        Object.entries(places).map(([name, privateAddress]) => ({
          name,
          privateAddress,
          publicIp: "198.51.100.1",
          until: later(systemClock.now(), HOUR),
        })),
      ),
    submit: async (): Promise<MessageId> =>
      (await relay.submit(submission({ recipients: [address(`r${count++}@one.example`)] }))).messageId,
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  };
}

describe("mail of a zone with Elastic IPs", { timeout: 4 * PATIENCE_MS }, () => {
  test("leaves by one that this host holds, under its name, from its private address", async () => {
    await using all = await scene();
    const { mx, relay, hold, submit } = all;
    hold({ "m2.example": "127.0.0.32" });
    const ids = [await submit(), await submit(), await submit()];
    for (const id of ids) {
      const { rows } = await relay.finished(id);
      assert.equal(rows[0]?.lastAttempt?.route.egress, "m2.example", "the operator knows it by its name");
    }
    const from = new Set(mx.mails.map(({ peer }) => `${peer.helo} ${peer.ip}`));
    assert.deepEqual([...from], ["m2.example 127.0.0.32"]);
  });

  test("waits untried while other hosts hold them all, and leaves when one comes", async () => {
    await using all = await scene();
    const { mx, relay, hold, submit } = all;
    await systemClock.sleep(SECOND / 2); // the take that every zone begins with would have its mail at once
    const id = await submit();
    await systemClock.sleep(SECOND / 2);
    const { rows } = await relay.message(id);
    assert.deepEqual([rows[0]?.state, rows[0]?.attempts, rows[0]?.lastAttempt], ["queued", 0, null]);
    hold({ "m1.example": "127.0.0.31" });
    await mx.waitFor(1, PATIENCE_MS);
    assert.deepEqual((await relay.finished(id)).rows[0]?.state, "delivered");
  });

  test("leaves by another when one is withdrawn, whose idle connections close", async () => {
    await using all = await scene();
    const { mx, relay, hold, submit } = all;
    hold({ "m1.example": "127.0.0.31" });
    await relay.finished(await submit());
    assert.equal(mx.counts.open, 1);
    hold({ "m2.example": "127.0.0.32" });
    await eventually("its end", PATIENCE_MS, () => (mx.counts.open === 0 ? true : null));
    await relay.finished(await submit());
    assert.deepEqual(
      mx.mails.map(({ peer }) => peer.ip),
      ["127.0.0.31", "127.0.0.32"],
    );
  });
});
