import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { greylist, verdictOn } from "../../../sender/sandbox/behaviour.ts";
import type { Stage } from "../../../sender/sandbox/behaviour.ts";

const STAGES: readonly Stage[] = ["mail", "rcpt", "data"];

function context(list = greylist(10)) {
  return { returnPath: "from@one.example", clientIp: "192.0.2.1", greylist: list };
}

/** The stages at which something happens, with what: `rcpt 550 5.1.1`. */
function fates(local: string): string[] {
  return STAGES.flatMap((stage) => {
    const verdict = verdictOn(`${local}@two.example`, stage, context());
    if (verdict.do === "accept") return [];
    return [
      `${stage} ${verdict.do === "reply" ? `${verdict.code} ${verdict.text.split(" ")[0]}` : verdict.do}`,
    ];
  });
}

describe("the local part", () => {
  test("says the code and the stage", () => {
    assert.deepEqual(fates("550-rcpt"), ["rcpt 550 5.1.1"]);
    assert.deepEqual(fates("550-data"), ["data 550 5.7.1"]);
    assert.deepEqual(fates("550-mail"), ["mail 550 5.7.1"]);
    assert.deepEqual(fates("451-data-anna"), ["data 451 4.3.0"]);
    assert.deepEqual(fates("452-RCPT+1"), ["rcpt 452 4.5.3"]);
    assert.deepEqual(fates("599-rcpt"), ["rcpt 599 5.0.0"]);
  });

  test("may be one of the names", () => {
    assert.deepEqual(fates("greylist-anna"), ["rcpt 451 4.7.1"]);
    assert.deepEqual(fates("full"), ["rcpt 452 4.2.2"]);
    assert.deepEqual(fates("unknown.user"), ["rcpt 550 5.1.1"]);
    assert.deepEqual(fates("blocked"), ["rcpt 554 5.7.1"]);
    assert.deepEqual(fates("slow"), ["data accept-late"]);
    assert.deepEqual(fates("timeout-rcpt"), ["rcpt silence"]);
    assert.deepEqual(fates("timeout-data-1"), ["data silence"]);
    assert.deepEqual(fates("drop-mail"), ["mail hang-up"]);
    assert.deepEqual(fates("drop-data"), ["data hang-up"]);
  });

  test("means nothing otherwise", () => {
    for (const local of [
      "anna",
      "550",
      "250-rcpt",
      "999-rcpt",
      "550-rcpts",
      "fuller",
      "x550-rcpt",
      "timeout",
      "",
    ]) {
      assert.deepEqual(fates(local), [], local);
    }
  });

  test("never makes a reply that is not one: a code of 4yz or 5yz and a status of its class", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 999 }), fc.constantFrom(...STAGES), (code, stage) => {
        const local = `${String(code).padStart(3, "0")}-${stage}`;
        const verdict = verdictOn(`${local}@two.example`, stage, context());
        if (verdict.do === "accept") return code < 400 || code > 599;
        return (
          verdict.do === "reply" &&
          verdict.code === code &&
          verdict.text.startsWith(`${Math.trunc(code / 100)}.`)
        );
      }),
    );
  });
});

describe("greylisting", () => {
  test("takes the second try of a triple, and lets its next mail wait again", () => {
    const list = greylist(10);
    assert.deepEqual(
      [1, 2, 3, 4].map(() => list.passes("a")),
      [false, true, false, true],
    );
    assert.equal(list.passes("b"), false);
  });

  test("forgets the oldest when there are too many", () => {
    const list = greylist(2);
    for (const triple of ["a", "b", "c"]) assert.equal(list.passes(triple), false);
    assert.equal(list.passes("b"), true);
    assert.equal(list.passes("a"), false);
  });
});
