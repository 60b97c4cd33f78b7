/** Which records of the table's stream AWS gives to whom: the filter as it is deployed says the same as the one of local servers. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { TELLS } from "#shared/aws/event-stream.ts";
import { filterPattern, isForReader, STREAM_READERS } from "#shared/aws/stream-readers.ts";
import type { StreamReader } from "#shared/aws/stream-readers.ts";

function record(mark: string, PK = "m#01kdymwp080z0rksam01d0gth7") {
  return { dynamodb: { Keys: { PK: { S: PK } }, NewImage: { k: { S: mark } } } };
}

const marks = Object.values(TELLS);
const wantedBy = (reader: StreamReader): string[] =>
  marks.filter((mark) => isForReader(STREAM_READERS[reader], record(`${mark}0a1b2c`)));

/** As AWS reads it: a list is met by any of its rules. */
function isMet(pattern: unknown, value: unknown): boolean {
  if (Array.isArray(pattern))
    return pattern.some(
      ({ prefix }: { prefix: string }) => typeof value === "string" && value.startsWith(prefix),
    );
  return Object.entries(pattern as object).every(([name, inner]) =>
    isMet(inner, (value as Record<string, unknown> | undefined)?.[name]),
  );
}

describe("readers of the table's stream", () => {
  test("are given what they have a use for: signals and reports, or all that happens to mail", () => {
    const { delivery, hold, release, drop, reception } = TELLS;
    const useless: string[] = [reception, delivery, drop, TELLS["operator-drop"], hold, release];
    assert.deepEqual(
      wantedBy("events"),
      marks.filter((mark) => !useless.includes(mark)),
    );
    assert.deepEqual(wantedBy("notify"), marks);
  });

  test("are given neither writes that tell of nothing, nor other kinds of item, nor the end of an item", () => {
    for (const terms of Object.values(STREAM_READERS)) {
      assert.equal(isForReader(terms, record("-0a1b2c")), false);
      assert.equal(isForReader(terms, record("R0a1b2c", "l#limit")), false);
      assert.equal(isForReader(terms, { dynamodb: { Keys: { PK: { S: "m#1" } } } }), false);
    }
  });

  test("have a filter on AWS that lets the same records through", () => {
    for (const terms of Object.values(STREAM_READERS)) {
      for (const each of [...marks, "-", "?"].flatMap((mark) => [record(mark), record(mark, "l#limit")]))
        assert.equal(isMet(filterPattern(terms), each), isForReader(terms, each), JSON.stringify(each));
    }
  });
});
