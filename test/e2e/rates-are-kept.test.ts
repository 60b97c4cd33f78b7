import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { startFakeMx } from "../support/fake-mx.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { startRelay } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";

const RATE = 20;
/**
 * Mails that a busy receiver may write down late, and so in a second that is not theirs. That the rate is exact in any window
 * is proved by a clock that is told the time, in test/unit/zone/throttles.test.ts.
 */
const LATE = 2;
const SECOND = 1_000;

const dns = fakeDns({
  "one.example": { mx: [[10, "mx.both.example"]] },
  "two.example": { mx: [[10, "mx.both.example"]] },
  "mx.both.example": { a: ["127.0.0.1"] },
});

function submitTo(relay: Relay, recipient: string, returnPath: string): Promise<unknown> {
  return relay.submit(submission({ recipients: [address(recipient)], returnPath: address(returnPath) }));
}

function timesOf({ mails }: FakeMx, isMeant: (mail: FakeMx["mails"][number]) => boolean): number[] {
  return mails.filter(isMeant).map(({ at }) => at);
}

function mostInASecond(times: readonly number[]): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + SECOND).length));
}

/** At the peer, in any second; and that the rate is used, as far as a busy machine lets one say that. */
function assertRate(times: readonly number[]): void {
  const most = mostInASecond(times);
  assert.ok(most <= RATE + LATE, `${most} in a second`);
  const tookMs = Math.max(...times) - Math.min(...times);
  assert.ok(tookMs < (2 * times.length * SECOND) / RATE, `${times.length} took ${tookMs} ms`);
}

test("a zone keeps to its rate over two workers, and another zone is as fast as ever", async () => {
  await using mx = await startFakeMx();
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-rate-"));
  const config = {
    zones: {
      default: { port: mx.port, throttling: `${RATE} messages/second` },
      quick: { port: mx.port, senderDomains: ["quick.example"] },
    },
  };
  try {
    await using relay = await startRelay({ dns, config, folder });
    await using second = await startRelay({ dns, config, folder });
    await Promise.all([
      ...Array.from({ length: 40 }, (_, i) => submitTo(relay, `a${i}@one.example`, "me@slow.example")),
      ...Array.from({ length: 40 }, (_, i) => submitTo(second, `b${i}@two.example`, "me@slow.example")),
    ]);
    await Promise.all(
      Array.from({ length: 40 }, (_, i) => submitTo(relay, `q${i}@one.example`, "me@quick.example")),
    );
    const mails = await mx.waitFor(120);
    assertRate(timesOf(mx, ({ returnPath }) => returnPath?.endsWith("@slow.example") === true));
    const lastQuick = mails.findLastIndex(
      ({ returnPath }) => returnPath?.endsWith("@quick.example") === true,
    );
    assert.ok(lastQuick < 119, "all of the other zone came before the throttled one was done");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("a domain keeps to its rate in all zones, and another of the same mail host does not wait for it", async () => {
  await using mx = await startFakeMx();
  await using relay = await startRelay({
    dns,
    config: {
      zones: { default: { port: mx.port }, quick: { port: mx.port, senderDomains: ["quick.example"] } },
      domainConfig: { "one.example": { throttling: `${RATE}/second` } },
    },
  });
  await Promise.all(
    Array.from({ length: 30 }, async (_, i) => {
      await submitTo(relay, `a${i}@one.example`, "me@slow.example");
      await submitTo(relay, `b${i}@one.example`, "me@quick.example");
    }),
  );
  await submitTo(relay, "you@two.example", "me@slow.example");
  const mails = await mx.waitFor(61);
  assertRate(timesOf(mx, ({ recipients }) => recipients[0]?.endsWith("@one.example") === true));
  const other = mails.findIndex(({ recipients }) => recipients[0] === "you@two.example");
  assert.ok(other < 60, "not behind the others");
});

test("the recipients of one mail count each", async () => {
  await using mx = await startFakeMx();
  await using relay = await startRelay({
    dns,
    config: { zones: { default: { port: mx.port, throttling: `${RATE}/second` } } },
  });
  const recipients = Array.from({ length: 50 }, (_, i) => address(`r${i}@one.example`));
  const { messageId } = await relay.submit(submission({ recipients }));
  await relay.finished(messageId);
  assertRate(mx.mails.flatMap(({ at, recipients: some }) => some.map(() => at)));
});
