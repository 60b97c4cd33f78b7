import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { parseStsPolicy, stsIdOf, stsNames } from "#shared/domain/mta-sts.ts";
import type { StsPolicy } from "#shared/domain/mta-sts.ts";

const POLICY =
  "version: STSv1\r\nmode: enforce\r\nmx: mail.one.example\r\nmx: *.One.example\r\nmax_age: 604800\r\n";

describe("the TXT record of MTA-STS", () => {
  for (const [records, id] of [
    [["v=STSv1; id=20160831085700Z;"], "20160831085700Z"],
    [["v=STSv1;id=1"], "1"],
    [["v=STSv1 ; x=y; id=1 ;"], "1"],
    [["v=spf1 -all", "v=STSv1; id=1;"], "1"],
    [["v=STSv1; id=1;", "v=STSv1; id=2;"], null],
    [["v=STSv1; id=;"], null],
    [["v=STSv1; id=a-b;"], null],
    [[`v=STSv1; id=${"1".repeat(33)};`], null],
    [["v=STSv1;"], null],
    [["v=STSv2; id=1;"], null],
    [["id=1; v=STSv1;"], null],
    [[], null],
  ] as const) {
    test(`${JSON.stringify(records)} has the id ${id}`, () => {
      assert.equal(stsIdOf(records), id);
    });
  }
});

describe("an MTA-STS policy", () => {
  test("is read, with its hosts in lower case", () => {
    assert.deepEqual(parseStsPolicy(POLICY), {
      ok: true,
      policy: { mode: "enforce", mx: ["*.one.example", "mail.one.example"], maxAgeSeconds: 604_800 },
    });
  });

  test("may have bare newlines, keys that nobody knows, any order, and keys twice, of which the first counts", () => {
    const text = "max_age:1\nmx:a.example\nnews: yes\nmode : testing\nmode: enforce\nversion:STSv1";
    assert.deepEqual(parseStsPolicy(text), {
      ok: true,
      policy: { mode: "testing", mx: ["a.example"], maxAgeSeconds: 1 },
    });
  });

  test("needs no host when its mode is none, and is kept for a year at most", () => {
    const read = parseStsPolicy("version: STSv1\nmode: none\nmax_age: 9999999999\n");
    assert.deepEqual(read, { ok: true, policy: { mode: "none", mx: [], maxAgeSeconds: 31_557_600 } });
  });

  for (const [what, from, to] of [
    ["no version", "version: STSv1", "x: y"],
    ["another version", "STSv1", "STSv2"],
    ["an unknown mode", "enforce", "strict"],
    ["no mode", "mode: enforce", "x: y"],
    ["no lifetime", "max_age: 604800", ""],
    ["a lifetime that is no number", "604800", "a week"],
    ["a host that is none", "mail.one.example", "mail one"],
    ["a wildcard in the middle", "*.One.example", "a.*.example"],
  ] as const) {
    test(`is refused with ${what}`, () => {
      assert.equal(parseStsPolicy(POLICY.replace(from, to)).ok, false);
    });
  }

  test("is refused when it is to be enforced and names no host", () => {
    assert.equal(parseStsPolicy("version: STSv1\nmode: enforce\nmax_age: 1").ok, false);
  });

  test("of any text is read or refused, never an error", () => {
    const line = fc.constantFrom(
      "version: STSv1",
      "mode: enforce",
      "mx: a.b",
      "max_age: 5",
      ":",
      "mx:",
      "\r",
      "mode",
    );
    const text = fc.oneof(
      fc.string(),
      fc.array(line).map((lines) => lines.join("\n")),
    );
    fc.assert(
      fc.property(text, (input) => {
        const read = parseStsPolicy(input);
        assert.ok(!read.ok || read.policy.mode === "none" || read.policy.mx.length > 0);
      }),
    );
  });
});

describe("the hosts of a policy", () => {
  const policy: StsPolicy = { mode: "enforce", mx: ["*.one.example", "mail.two.example"], maxAgeSeconds: 1 };
  for (const [host, named] of [
    ["mail.two.example", true],
    ["MAIL.two.example.", true],
    ["mx.one.example", true],
    ["a.mx.one.example", false],
    ["one.example", false],
    ["mxone.example", false],
    ["other.two.example", false],
    ["two.example", false],
    ["", false],
  ] as const) {
    test(`${named ? "are" : "are not"} ${JSON.stringify(host)}`, () => {
      assert.equal(stsNames(policy, host), named);
    });
  }
});
