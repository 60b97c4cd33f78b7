/** What every IdempotencyStore keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DAY, later, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type {
  ClaimRequest,
  Claimed,
  IdempotencyClaim,
  IdempotencyStore,
} from "#shared/ports/idempotency-store.ts";
import { newMessageId } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";

/** A new, empty store; disposed of when its test ends. */
export type OpenIdempotencyStore = (clock: Clock) => Promise<{ store: IdempotencyStore } & AsyncDisposable>;

const KEY = "some-key";

function requestAt(clock: Clock, fields: Partial<ClaimRequest> = {}): ClaimRequest {
  const until = later(clock.now(), MINUTE);
  return {
    messageId: newMessageId(),
    fingerprint: "f",
    until,
    keepUntil: later(clock.now(), DAY),
    ...fields,
  };
}

function claimOf(claimed: Claimed): IdempotencyClaim {
  assert.equal(claimed.kind, "claimed");
  return claimed.claim;
}

export function idempotencyStoreContract(backend: string, open: OpenIdempotencyStore): void {
  describe(`IdempotencyStore on ${backend}`, () => {
    test("the first request gets the claim, and later ones its answer", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      assert.equal(await store.get(KEY), null);
      const request = requestAt(clock);
      const claim = claimOf(await store.claim(KEY, request));
      assert.deepEqual([claim.messageId, claim.fingerprint, claim.first], [request.messageId, "f", true]);
      const record = {
        messageId: request.messageId,
        fingerprint: "f",
        claimedUntil: request.until,
        answer: null,
      };
      assert.deepEqual(pick(await store.get(KEY)), record);
      const second = await store.claim(KEY, requestAt(clock));
      assert.deepEqual([second.kind, "record" in second && pick(second.record)], ["busy", record]);
      assert.equal(await store.finish(claim, "the answer ä✓"), true);
      const third = await store.claim(KEY, requestAt(clock, { fingerprint: "another" }));
      const answered = { ...record, claimedUntil: 0, answer: "the answer ä✓" };
      assert.deepEqual([third.kind, "record" in third && pick(third.record)], ["answered", answered]);
      assert.deepEqual(pick(await store.get(KEY)), answered);
      assert.equal(claimOf(await store.claim("another-key", requestAt(clock))).first, true);
    });

    test("of many requests at once one gets the claim", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const claims = Array.from({ length: 10 }, () => store.claim(KEY, requestAt(clock)));
      const kinds = (await Promise.all(claims)).map(({ kind }) => kind).toSorted();
      assert.deepEqual(kinds, [...Array.from({ length: 9 }, () => "busy"), "claimed"]);
    });

    test("a claim that lapsed goes to one of those who ask, under the same id, and its holder writes nothing", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const late = claimOf(await store.claim(KEY, requestAt(clock)));
      await clock.advance(MINUTE);
      const asked = await Promise.all([1, 2, 3].map(() => store.claim(KEY, requestAt(clock))));
      assert.deepEqual(asked.map(({ kind }) => kind).toSorted(), ["busy", "busy", "claimed"]);
      const claim = claimOf(asked.find(({ kind }) => kind === "claimed") as Claimed);
      assert.deepEqual([claim.messageId, claim.first], [late.messageId, false]);
      assert.equal(await store.finish(late, "late"), false);
      assert.equal(await store.release(late, "forget"), false);
      assert.equal(await store.release(late, "retry"), false);
      assert.equal(await store.finish(claim, "in time"), true);
      assert.equal((await store.get(KEY))?.answer, "in time");
    });

    test("what is known of the request is not claimed for another, and what is not known yet may be anything", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      await store.claim(KEY, requestAt(clock, { fingerprint: null }));
      await clock.advance(MINUTE);
      await store.claim(KEY, requestAt(clock, { fingerprint: "one" }));
      await clock.advance(MINUTE);
      const other = await store.claim(KEY, requestAt(clock, { fingerprint: "two" }));
      assert.equal(other.kind, "other");
      const unknown = claimOf(await store.claim(KEY, requestAt(clock, { fingerprint: null })));
      assert.equal(unknown.fingerprint, "one");
    });

    test("what was asked is written down once, by who has the claim", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const late = claimOf(await store.claim(KEY, requestAt(clock, { fingerprint: null })));
      await clock.advance(MINUTE);
      const claim = claimOf(await store.claim(KEY, requestAt(clock, { fingerprint: null })));
      assert.equal(await store.seal(late, "late"), "lost");
      assert.equal((await store.get(KEY))?.fingerprint, null);
      assert.equal(await store.seal(claim, "asked"), "sealed");
      assert.equal((await store.get(KEY))?.fingerprint, "asked");
      await store.release(claim, "retry");
      const next = claimOf(await store.claim(KEY, requestAt(clock, { fingerprint: null })));
      assert.equal(await store.seal(next, "something else"), "other");
      assert.equal(await store.seal(next, "asked"), "sealed");
    });

    test("a claim given back is free at once: with its record to try again, or without", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      const first = claimOf(await store.claim(KEY, requestAt(clock)));
      assert.equal(await store.release(first, "retry"), true);
      const second = claimOf(await store.claim(KEY, requestAt(clock)));
      assert.deepEqual([second.messageId, second.first], [first.messageId, false]);
      assert.equal(await store.release(second, "forget"), true);
      assert.equal(await store.get(KEY), null);
      const third = claimOf(await store.claim(KEY, requestAt(clock, { fingerprint: "another" })));
      assert.deepEqual([third.first, third.messageId === first.messageId], [true, false]);
    });

    test("a key is free again when its time is over, unless somebody works on it just then", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      await store.finish(claimOf(await store.claim(KEY, requestAt(clock))), "answer");
      await clock.advance(DAY - SECOND);
      assert.equal((await store.get(KEY))?.answer, "answer");
      await clock.advance(SECOND);
      assert.equal(await store.get(KEY), null);
      const again = claimOf(await store.claim(KEY, requestAt(clock, { keepUntil: clock.now() })));
      assert.equal(again.first, true);
      assert.equal((await store.claim(KEY, requestAt(clock))).kind, "busy");
      assert.equal(await store.finish(again, "second answer"), true);
      assert.equal(await store.get(KEY), null, "its time was over at once");
    });

    test("many keys come and go", async () => {
      const clock = fakeClock();
      await using opened = await open(clock);
      const { store } = opened;
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 25; i++) {
          const claim = claimOf(await store.claim(`${KEY}-${i}`, requestAt(clock)));
          assert.equal(claim.first, true);
          await store.finish(claim, `${round}`);
        }
        await clock.advance(DAY);
      }
    });
  });
}

/** What the port says of a record, and no more. */
function pick(record: Awaited<ReturnType<IdempotencyStore["get"]>>) {
  if (!record) return null;
  const { messageId, fingerprint, claimedUntil, answer } = record;
  return { messageId, fingerprint, claimedUntil, answer };
}
