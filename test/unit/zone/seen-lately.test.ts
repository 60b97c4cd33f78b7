import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { seenLately } from "../../../sender/zone/seen-lately.ts";
import { fakeClock } from "../../support/fake-clock.ts";

function watched(count: number) {
  const clock = fakeClock();
  const seen = seenLately({ count, perMs: SECOND }, clock);
  const mail = async (heldUpMs: number, { recipients = 1 } = {}): Promise<void> => {
    const taken = seen.begin(recipients);
    await clock.advance(heldUpMs);
    taken(clock.now());
  };
  return { clock, seen, mail };
}

describe("a period as the peer counts it", () => {
  test("has room for as many recipients as the rate allows, and for more a period after the first", async () => {
    const { clock, seen, mail } = watched(3);
    const start = clock.now();
    assert.deepEqual([seen.room(), seen.roomAt()], [3, start]);
    await mail(0);
    await clock.advance(100);
    await mail(0, { recipients: 2 });
    assert.deepEqual([seen.room(), seen.roomAt()], [0, start + SECOND]);
    await clock.advance(900);
    assert.equal(seen.room(), 1, "a period is half-open: the first is not of this one");
    await clock.advance(100);
    assert.equal(seen.room(), 3);
  });

  test("begins for a mail that was held up when the peer saw it", async () => {
    const { clock, seen, mail } = watched(2);
    const start = clock.now();
    await mail(45);
    await mail(5);
    assert.equal(seen.roomAt(), start + 45 + SECOND);
  });

  test("counts a mail from its beginning while it is under way, and when it was refused", async () => {
    const { clock, seen } = watched(1);
    const begun = clock.now();
    seen.begin(1);
    await clock.advance(800);
    assert.deepEqual([seen.room(), seen.roomAt()], [0, begun + SECOND]);
  });

  test("knows of no mail that is to come, as when the clock was set back", () => {
    const { clock, seen } = watched(1);
    seen.begin(1)(clock.in(60 * SECOND));
    assert.deepEqual([seen.room(), seen.roomAt()], [1, clock.now()]);
  });

  test("holds up no more when permits were lost over it, until many were used", async () => {
    const { clock, seen, mail } = watched(2);
    seen.lost(3);
    for (let i = 0; i < 4; i++) await mail(0);
    assert.deepEqual([seen.room(), seen.roomAt()], [2, clock.now()]);
    for (let i = 0; i < 300; i++) await mail(0);
    assert.equal(seen.room(), 0);
  });
});
