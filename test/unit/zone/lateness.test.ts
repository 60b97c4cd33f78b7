import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import { latenessOf } from "../../../sender/zone/lateness.ts";
import { fakeClock } from "../../support/fake-clock.ts";

const RATE = { count: 20, perMs: SECOND };
const EVERY_MS = 50;
const MARGIN_MS = 10;

async function late({ rate = RATE, marginMs = MARGIN_MS, isNew = false } = {}) {
  const clock = fakeClock();
  const lateness = latenessOf(rate, { clock, marginMs });
  const mail = async (tookMs: number, heldUpMs: number): Promise<void> => {
    const taken = lateness.begin(clock.now());
    await clock.advance(tookMs);
    taken(clock.in(heldUpMs - tookMs));
  };
  const pay = (): number => {
    const ms = lateness.owedMs;
    lateness.paid(ms);
    return ms;
  };
  // Until it trusts the times, and may be put off as far as ever.
  if (!isNew) for (let i = 0; i < 2_000; i++) lateness.begin(clock.now())(clock.now());
  return { clock, lateness, mail, pay };
}

describe("a rate", () => {
  test("is put off by nothing while mails differ by less than the margin", async () => {
    const { mail, pay } = await late();
    for (let i = 0; i < 40; i++) await mail(200 + (i % 10), i % 10);
    assert.equal(pay(), 0);
  });

  test("is put off once by what a mail was held up, without the margin", async () => {
    const { mail, pay } = await late();
    await mail(30, 27);
    for (let i = 0; i < 5; i++) await mail(3, 0);
    assert.equal(pay(), 27 - MARGIN_MS);
    assert.equal(pay(), 0);
  });

  test("is put off by what a permit was used late", async () => {
    const { clock, lateness, pay } = await late();
    const at = clock.now();
    await clock.advance(40);
    lateness.begin(at)(clock.now());
    assert.equal(pay(), 40 - MARGIN_MS);
  });

  test("is put off by the place of one mail at most for each", async () => {
    const { mail, pay } = await late();
    await mail(5 * SECOND, 5 * SECOND);
    assert.equal(pay(), EVERY_MS);
  });

  test("is put off once for mails that were late together", async () => {
    const { clock, lateness, pay } = await late();
    const taken = Array.from({ length: 5 }, () => lateness.begin(clock.now()));
    await clock.advance(33);
    for (const each of taken) each(clock.in(-3));
    assert.equal(pay(), 30 - MARGIN_MS);
  });

  test("loses three thousandths of its time at most, however much mails differ", async () => {
    const { mail, pay } = await late({
      rate: { count: 600, perMs: MINUTE },
      marginMs: MINUTE / 100,
    });
    let paid = 0;
    for (let i = 0; i < 400; i++) {
      await mail(2_000, i % 2 ? 0 : 1_997);
      paid += pay();
    }
    assert.ok(paid > SECOND / 4, "it is put off");
    const placeMs = MINUTE / 600;
    assert.ok(paid <= 400 * placeMs * 0.003 + SECOND / 4, `${paid}`);
  });

  test("that is new takes no time of its first mails for granted", async () => {
    const { mail, pay } = await late({ isNew: true });
    await mail(25, 0);
    await mail(20, 0);
    assert.equal(pay(), 25 - MARGIN_MS, "nothing is known to be shorter, and it counts from nothing");
  });
});
