import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { parseAddress } from "#shared/domain/address.ts";
import { srsForward, srsReverse } from "#shared/domain/srs.ts";
import type { Srs } from "#shared/domain/srs.ts";
import { DAY, later } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import { address } from "../../support/builders.ts";

const now = Date.UTC(2026, 0, 2) as EpochMs;
const us: Srs = { secret: "a secret", domain: "us.example", excludeDomains: ["friend.example"] };
const them: Srs = { secret: "another", domain: "them.example", excludeDomains: [] };
const third: Srs = { secret: "a third", domain: "third.example", excludeDomains: [] };
const anna = address("Anna+x@one.example");

describe("a return path of others", () => {
  test("becomes one of ours, and leads back", () => {
    const ours = srsForward(anna, us, now);
    assert.match(ours, /^SRS0=[a-z2-7]{8}=[a-z2-7]{2}=one\.example=Anna\+x@us\.example$/);
    assert.deepEqual(srsReverse(ours, us, now), { kind: "sender", address: anna });
  });

  test("leads back though its case was changed on the way", () => {
    for (const changed of [
      srsForward(anna, us, now).toUpperCase(),
      srsForward(anna, us, now).toLowerCase(),
    ]) {
      const reversed = srsReverse(address(changed), us, now);
      assert.equal(reversed.kind === "sender" && reversed.address.toLowerCase(), anna.toLowerCase());
    }
  });

  test("of any mailbox leads back to it, or stays as it is", () => {
    const local = fc.stringMatching(/^[a-zA-Z0-9=+_-]{1,30}(\.[a-z=]{1,5})?$/);
    fc.assert(
      fc.property(local, (name) => {
        const from = parseAddress(`${name}@one.example`);
        fc.pre(from !== null && !/^srs[01]/i.test(name));
        const ours = srsForward(from, us, now);
        assert.ok(ours === from || srsReverse(ours, us, now).kind === "sender");
        const back = srsReverse(ours, us, now);
        assert.equal(back.kind === "sender" ? back.address : ours, from);
      }),
    );
  });

  for (const own of ["anna@us.example", "anna@friend.example"]) {
    test(`stays as it is when it is ${own}`, () => {
      assert.equal(srsForward(address(own), us, now), own);
    });
  }

  test("stays as it is when ours would be too long for SMTP", () => {
    const long = address(`${"a".repeat(60)}@one.example`);
    assert.equal(srsForward(long, us, now), long);
  });

  test("that was rewritten before leads to the first hop, whichever way it takes", () => {
    const first = srsForward(anna, them, now);
    const second = srsForward(first, us, now);
    assert.match(second, /^SRS1=[a-z2-7]{8}=them\.example==/);
    assert.deepEqual(srsReverse(second, us, now), { kind: "sender", address: first });
    const afterThird = srsForward(second, third, now);
    assert.match(afterThird, /^SRS1=[a-z2-7]{8}=them\.example==[^@]*@third\.example$/);
    assert.deepEqual(srsReverse(afterThird, third, now), { kind: "sender", address: first });
    assert.deepEqual(srsReverse(first, them, now), { kind: "sender", address: anna });
  });
});

describe("a bounce to an address of ours", () => {
  const ours = srsForward(anna, us, now);

  test("is refused when any part of the address was changed", () => {
    for (const [from, to] of [
      ["one.example", "two.example"],
      ["Anna", "Bert"],
      [/SRS0=(.)/, "SRS0=9"],
    ] as const) {
      const forged = address(ours.replace(from, to));
      assert.deepEqual(srsReverse(forged, us, now), { kind: "refused", reason: "forged" });
    }
    assert.deepEqual(srsReverse(ours, { ...us, secret: "other" }, now), {
      kind: "refused",
      reason: "forged",
    });
    assert.deepEqual(srsReverse(address("SRS0=x@us.example"), us, now), {
      kind: "refused",
      reason: "forged",
    });
    const open = address("SRS1=aaaaaaaa=victim.example==x=y=z=w@us.example");
    assert.deepEqual(srsReverse(open, us, now), { kind: "refused", reason: "forged" });
  });

  test("is taken for three weeks", () => {
    assert.equal(srsReverse(ours, us, later(now, 21 * DAY)).kind, "sender");
    assert.deepEqual(srsReverse(ours, us, later(now, 22 * DAY)), { kind: "refused", reason: "expired" });
    assert.deepEqual(srsReverse(ours, us, later(now, -2 * DAY)), { kind: "refused", reason: "expired" });
  });

  test("is plain mail when the address is no rewritten one, or not in our domain", () => {
    assert.deepEqual(srsReverse(address("anna@us.example"), us, now), { kind: "plain" });
    assert.deepEqual(srsReverse(address(ours.replace("us.example", "x.example")), us, now), {
      kind: "plain",
    });
  });
});
