import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { latenessOf } from "../../../sender/zone/lateness.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const RATE = { count: 20, perMs: SECOND };
const EVERY_MS = 50;
const MARGIN_MS = 10;

async function late({ rate = RATE, marginMs = MARGIN_MS, usualMs = 3 } = {}) {
  const clock = fakeClock();
  const lateness = latenessOf(rate, { clock, marginMs });
  const mail = async (tookMs: number, isTaken = true): Promise<void> => {
    const end = lateness.begin(clock.now());
    await clock.advance(tookMs);
    end(isTaken);
  };
  const pay = (): number => {
    const ms = lateness.owedMs;
    lateness.paid(ms);
    return ms;
  };
  // Until it knows how short they are, and may be put off as far as ever.
  if (usualMs > 0) for (let i = 0; i < 1_500; i++) lateness.begin((clock.now() - usualMs) as EpochMs)(true);
  pay();
  return { clock, lateness, mail, pay };
}

describe("a rate", () => {
  test("is put off by nothing while mails differ by less than the margin", async () => {
    const { mail, pay } = await late({ usualMs: 200 });
    for (let i = 0; i < 40; i++) await mail(200 + (i % 10));
    assert.equal(pay(), 0);
  });

  test("is put off once by what a mail took longer than the shortest, without the margin", async () => {
    const { clock, mail, pay } = await late();
    await mail(30);
    for (let i = 0; i < 5; i++) await mail(3);
    assert.equal(pay(), 30 - 3 - MARGIN_MS);
    await clock.advance(SECOND);
    assert.equal(pay(), 0);
  });

  test("is put off by the place of one mail at most for each", async () => {
    const { clock, mail, pay } = await late();
    await mail(3);
    await mail(5 * SECOND);
    await clock.advance(SECOND);
    assert.equal(pay(), EVERY_MS);
  });

  test("is put off once for mails that were late together", async () => {
    const { clock, lateness, mail, pay } = await late();
    await mail(3);
    const ends = Array.from({ length: 5 }, () => lateness.begin(clock.now()));
    await clock.advance(33);
    for (const end of ends) end(true);
    await clock.advance(SECOND);
    assert.equal(pay(), 33 - 3 - MARGIN_MS);
  });

  test("does not care how long a mail took that the peer refused", async () => {
    const { clock, mail, pay } = await late({ usualMs: 100 });
    await mail(100);
    await mail(1, false);
    await mail(900, false);
    await mail(101);
    await clock.advance(SECOND);
    assert.equal(pay(), 0);
  });

  test("loses four thousandths of its time at most, however much mails differ", async () => {
    const { mail, pay } = await late({
      rate: { count: 600, perMs: MINUTE },
      marginMs: MINUTE / 100,
    });
    let paid = 0;
    for (let i = 0; i < 400; i++) {
      await mail(i % 2 ? 3 : 2_000);
      paid += pay();
    }
    assert.ok(paid > SECOND / 4, "it is put off");
    const placeMs = MINUTE / 600;
    assert.ok(paid <= 400 * placeMs * 0.004 + SECOND / 4, `${paid}`);
  });

  test("that is new takes no time of its first mails for granted", async () => {
    const { clock, mail, pay } = await late({ usualMs: 0 });
    await mail(25);
    await mail(20);
    await clock.advance(SECOND);
    assert.equal(pay(), 25 - MARGIN_MS, "nothing is known to be shorter, and it counts from nothing");
  });
});
