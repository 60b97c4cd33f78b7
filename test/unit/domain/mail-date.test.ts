import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseMailDate, printMailDate } from "#shared/domain/mail-date.ts";
import type { EpochMs } from "#shared/domain/units.ts";

const instant = Date.UTC(2026, 10, 20, 22, 53, 58);

describe("dates of mail", () => {
  test("are printed as RFC 5322 has them, in UTC", () => {
    assert.equal(printMailDate((instant + 999) as EpochMs), "Fri, 20 Nov 2026 22:53:58 +0000");
    assert.equal(printMailDate(Date.UTC(2026, 0, 2) as EpochMs), "Fri, 02 Jan 2026 00:00:00 +0000");
  });

  for (const text of [
    "Fri, 20 Nov 2026 22:53:58 +0000",
    "fri,20 nov 2026 23:53:58 +0100",
    "20 Nov 2026 22:53:58 -0000",
    "Fri, 20 Nov 2026 17:53:58 -0500 (EST)",
    "Fri, 20 Nov 2026 17:53:58 EST",
    "Fri, 20 Nov 26 22:53:58 GMT",
    "Fri (a (nested) day), 20\tNov (x) 2026 22 : 53 : 58 Z",
    "Fri, 20 Nov 2026 22:53:58",
    "2026-11-20T22:53:58Z",
    "2026-11-20T23:53:58.000+01:00",
  ]) {
    test(`${JSON.stringify(text)} is read`, () => {
      assert.equal(parseMailDate(text), instant);
    });
  }

  test("seconds may be missing, and two digits of a year mean 1950 to 2049", () => {
    assert.equal(parseMailDate("20 Nov 2026 22:53 +0000"), instant - 58_000);
    assert.equal(parseMailDate("20 Nov 99 00:00 +0000"), Date.UTC(1999, 10, 20));
    assert.equal(parseMailDate("20 Nov 126 00:00 +0000"), Date.UTC(2026, 10, 20));
  });

  for (const text of [
    "",
    "now",
    "hello 1",
    "2026",
    "32 Nov 2026 10:00:00 +0000",
    "0 Nov 2026 10:00:00 +0000",
    "20 Nov 2026 24:00:00 +0000",
    "20 Nov 2026 10:60:00 +0000",
    "20 Nox 2026 10:00:00 +0000",
    "20 Nov 2026 10:00:00 +0000 trailing",
    "20 Nov 2026 10:00:00 +0000 (open",
    "2026-11-20T22:53:58",
    "2026-13-20T22:53:58Z",
    `20 Nov 2026 10:00:00 +0000 ${"()".repeat(200)}`,
  ]) {
    test(`${JSON.stringify(text.slice(0, 40))} is no date`, () => {
      assert.equal(parseMailDate(text), null);
    });
  }
});
