import assert from "node:assert/strict";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import type { Dns } from "#shared/ports/dns.ts";

import { systemClock } from "#shared/runtime/system-clock.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { startRelay } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";

/** More rows than a zone holds at once. */
const ROWS = 11_000;
const ROWS_OF_MESSAGE = 1_000;

/** Resolves when the zone has not taken a row more for half a second. */
async function takenAll({ backend }: Relay): Promise<void> {
  const leased = async (): Promise<number> => (await backend.queue.counts())[0]?.leased ?? 0;
  for (let before = -1, now = 0; now === 0 || now !== before; before = now, now = await leased()) {
    await systemClock.sleep(SECOND / 2);
  }
}

test(
  "a domain whose name servers are silent holds up no other, however much mail it has",
  { timeout: 60 * SECOND },
  async () => {
    const gate = Promise.withResolvers<void>();
    await using mx = await startFakeMx();
    const quick = fakeDns({
      "quick.example": { mx: [[10, "mx.quick.example"]] },
      "mx.quick.example": { a: ["127.0.0.1"] },
    });
    const dns: Dns = {
      ...quick,
      async mx(domain) {
        if (domain !== "silent.example") return quick.mx(domain);
        await gate.promise;
        return { kind: "failed", detail: "no name server answered" };
      },
    };
    await using relay = await startRelay({ dns, config: { zones: { default: { port: mx.port } } } });
    for (let from = 0; from < ROWS; from += ROWS_OF_MESSAGE) {
      const recipients = Array.from({ length: ROWS_OF_MESSAGE }, (_, i) =>
        address(`r${from + i}@silent.example`),
      );
      await relay.submit(submission({ recipients }));
    }
    await takenAll(relay);
    try {
      const { messageId } = await relay.submit(submission({ recipients: [address("you@quick.example")] }));
      const { rows } = await relay.finished(messageId);
      assert.equal(rows[0]?.state, "delivered", "while the name servers are silent");
    } finally {
      gate.resolve();
    }
  },
);
