import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { AMBIGUOUS_FACTOR, becomesLate, givenUpAt, JITTER_SHARE, nextAttempt } from "#shared/domain/retry.ts";
import type { Deferral } from "#shared/domain/retry.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { DAY, HOUR, later, MINUTE } from "#shared/domain/units.ts";
import { DEFAULT_DEFER_TIMES_MS } from "#shared/runtime/config-schema.ts";

const T0 = Date.UTC(2026, 0, 2) as EpochMs;

const deferral = (fields: Partial<Deferral> = {}): Deferral => ({
  attempts: 1,
  firstDeferredAt: null,
  createdAt: T0,
  now: T0,
  deferTimesMs: DEFAULT_DEFER_TIMES_MS,
  maxQueueTimeMs: 5 * DAY,
  random: () => 0,
  ...fields,
});

/** When each attempt is made, in minutes from the first, until the mail expires. */
function attemptsOf(fields: Partial<Deferral>): { minutes: number[]; detail: string } {
  const minutes = [0];
  let now = T0;
  for (let attempts = 1; attempts < 1_000; attempts++) {
    const next = nextAttempt(
      deferral({ ...fields, attempts, now, firstDeferredAt: attempts === 1 ? null : T0 }),
    );
    if (next.kind === "expired") return { minutes, detail: next.detail };
    assert.ok(next.dueAt > now, "an attempt lies ahead");
    now = next.dueAt;
    minutes.push((now - T0) / MINUTE);
  }
  throw new Error("never expired");
}

describe("the retry ladder", () => {
  test("is ZoneMTA's: 18 attempts, the last 48 hours after the first", () => {
    const { minutes, detail } = attemptsOf({});
    assert.deepEqual(minutes.slice(0, 8), [0, 5, 12, 20, 45, 120, 240, 480]);
    assert.equal(minutes.length, 18);
    assert.equal(minutes.at(-1), 48 * 60);
    assert.equal(detail, "given up after 18 attempts in 2 days");
  });

  test("ends with the time that mail is tried for, with a last attempt at its end", () => {
    assert.deepEqual(attemptsOf({ maxQueueTimeMs: 30 * MINUTE }).minutes, [0, 5, 12, 20, 30]);
  });

  test("counts that time from the first deferral, so that mail accepted for later is tried like any other", () => {
    const createdAt = later(T0, -30 * DAY);
    assert.deepEqual(nextAttempt(deferral({ createdAt })), { kind: "retry", dueAt: later(T0, 5 * MINUTE) });
  });

  test("says in how much time the attempts were made", () => {
    const last = { attempts: 18, firstDeferredAt: T0 };
    const detail = (now: EpochMs) => {
      const next = nextAttempt(deferral({ ...last, now }));
      return next.kind === "expired" ? next.detail : null;
    };
    assert.equal(detail(later(T0, 36 * HOUR)), "given up after 18 attempts in 36 hours");
    assert.equal(detail(later(T0, 90)), "given up after 18 attempts in 90 milliseconds");
    const once = nextAttempt(deferral({ deferTimesMs: [] }));
    assert.deepEqual(once, { kind: "expired", detail: "given up after 1 attempt in 0 milliseconds" });
  });
});

describe("a wait", () => {
  test("is never shorter than its rung and never longer by more than the jitter", () => {
    const input = fc.record({
      attempts: fc.integer({ min: 1, max: 17 }),
      share: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    });
    fc.assert(
      fc.property(input, ({ attempts, share }) => {
        const next = nextAttempt(deferral({ attempts, random: () => share }));
        assert.equal(next.kind, "retry");
        const rung = DEFAULT_DEFER_TIMES_MS[attempts - 1] as number;
        const wait = next.kind === "retry" ? next.dueAt - T0 : 0;
        assert.ok(wait >= rung && wait <= rung * (1 + JITTER_SHARE), `${wait} for ${rung}`);
      }),
    );
  });

  test("differs between mails that failed together", () => {
    const wait = (share: number) => nextAttempt(deferral({ random: () => share }));
    assert.notDeepEqual(wait(0.1), wait(0.9));
  });

  test("is longer after an ambiguous end, as a quick second copy is what makes a duplicate", () => {
    const next = nextAttempt(deferral({ cause: "ambiguous" }));
    assert.deepEqual(next, { kind: "retry", dueAt: later(T0, 5 * MINUTE * AMBIGUOUS_FACTOR) });
  });
});

describe("a fault of ours", () => {
  test("does not end the ladder: the last rung is repeated while the time lasts", () => {
    const late = { attempts: 40, firstDeferredAt: T0, now: later(T0, 3 * DAY), cause: "internal" } as const;
    assert.deepEqual(nextAttempt(deferral(late)), { kind: "retry", dueAt: later(T0, 3 * DAY + 4 * HOUR) });
    assert.equal(nextAttempt(deferral({ ...late, now: later(T0, 5 * DAY) })).kind, "expired");
  });
});

describe("a mail becomes late", () => {
  const times = fc.array(fc.integer({ min: 0, max: 10 * HOUR }), { minLength: 1, maxLength: 20 });

  test("at one of its deferrals, and never again", () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 12 * HOUR }), (waits, afterMs) => {
        let firstDeferredAt: EpochMs | null = null;
        let lastAt: EpochMs | null = null;
        let now = T0;
        const lateAt: number[] = [];
        for (const wait of waits) {
          now = later(now, wait);
          if (becomesLate({ now, firstDeferredAt, lastAt }, afterMs)) lateAt.push(now);
          firstDeferredAt ??= now;
          lastAt = now;
        }
        const first: number = firstDeferredAt ?? 0;
        const isLate = now >= first + afterMs;
        assert.equal(lateAt.length, isLate ? 1 : 0);
        if (isLate) assert.ok((lateAt[0] as number) >= first + afterMs);
      }),
    );
  });
});

describe("the time at which a mail is given up", () => {
  test("is that of the attempt that finds the ladder at its end, when there is no chance in the waits", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: DAY }), { minLength: 1, maxLength: 8 }),
        (deferTimesMs) => {
          let now = T0;
          let expected: EpochMs | null = null;
          for (let attempts = 1; ; attempts++) {
            const facts = { attempts, now, firstDeferredAt: attempts === 1 ? null : T0, deferTimesMs };
            const next = nextAttempt(deferral(facts));
            if (next.kind === "expired") break;
            const told = givenUpAt({ ...facts, maxQueueTimeMs: 5 * DAY });
            assert.equal(told, (expected ??= told), "it does not move");
            now = next.dueAt;
          }
          assert.equal(now, expected);
        },
      ),
    );
  });
});
