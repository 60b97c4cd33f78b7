import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import fc from "fast-check";

import {
  messageIdOfFact,
  messageIds,
  parseMessageId,
  parseRowId,
  rowIdOf,
  timeOfMessageId,
} from "#shared/domain/ids.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import type { EpochMs } from "#shared/domain/units.ts";

const NOW = Date.UTC(2026, 0, 2) as EpochMs;
const ff = (count: number) => new Uint8Array(count).fill(255);

describe("message ids", () => {
  test("rise in the order they are made, over many in one millisecond and a clock that is set back", () => {
    const times = [NOW, NOW, NOW + 1, NOW - 5_000, NOW - 5_000, NOW + 2];
    let i = 0;
    const next = messageIds(() => times[Math.floor(i++ / 1_000) % times.length] as EpochMs, randomBytes);
    const ids = Array.from({ length: 6_000 }, () => next());
    assert.deepEqual(ids, ids.toSorted());
    assert.equal(new Set(ids).size, ids.length);
  });

  test("rise even when chance gave the highest digits", () => {
    const next = messageIds(() => NOW, ff);
    const ids = Array.from({ length: 100 }, () => next());
    assert.deepEqual(ids, ids.toSorted());
    assert.equal(new Set(ids).size, ids.length);
  });

  test("of many processes in the same millisecond are all different", () => {
    const processes = Array.from({ length: 50 }, () => messageIds(() => NOW, randomBytes));
    const ids = processes.flatMap((next) => Array.from({ length: 200 }, () => next()));
    assert.equal(new Set(ids).size, ids.length);
  });

  test("sort by time over processes and tell it", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 48 - 1 }), fc.nat({ max: 2 ** 48 - 1 }), (a, b) => {
        const [first, second] = [a, b].map((ms) => messageIds(() => ms as EpochMs, randomBytes)()) as [
          MessageId,
          MessageId,
        ];
        assert.equal(timeOfMessageId(first), a);
        assert.equal(parseMessageId(first), first);
        if (a !== b) assert.equal(first < second, a < b);
      }),
    );
  });

  test("are read in either case and in no other shape", () => {
    const id = messageIds(() => NOW, randomBytes)();
    assert.equal(parseMessageId(id.toUpperCase()), id);
    const kelvin = "\u212a"; // its lower case is k
    for (const text of [
      "",
      `${id}0`,
      id.slice(1),
      `${id.slice(1)}u`,
      `8${id.slice(1)}`,
      ` ${id}`,
      `${id.slice(1)}${kelvin}`,
      `${id}\n`,
    ]) {
      assert.equal(parseMessageId(text), null, JSON.stringify(text));
    }
  });

  test("of one fact are the same, of another not", () => {
    const fact = randomBytes(32);
    const id = messageIdOfFact(NOW, fact);
    assert.equal(messageIdOfFact(NOW, fact), id);
    assert.notEqual(messageIdOfFact(NOW, randomBytes(32)), id);
    assert.notEqual(messageIdOfFact((NOW + 1) as EpochMs, fact), id);
    assert.equal(parseMessageId(id), id);
  });
});

describe("row ids", () => {
  const messageId = messageIdOfFact(NOW, randomBytes(10));

  test("give back the message and the ordinal they were made of", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 - 1 }), (seq) => {
        const id = rowIdOf(messageId, seq);
        assert.deepEqual(parseRowId(id), { id, messageId, seq });
      }),
    );
  });

  test("have at least three hex digits, as ZoneMTA's have", () => {
    assert.ok(rowIdOf(messageId, 1).endsWith(".001"));
    assert.ok(rowIdOf(messageId, 4_096).endsWith(".1000"));
  });

  test("are brought to their one spelling", () => {
    assert.equal(parseRowId(`${messageId}.00001`)?.id, rowIdOf(messageId, 1));
    assert.equal(parseRowId(`${messageId}.00A`.toUpperCase())?.id, rowIdOf(messageId, 10));
  });

  test("of no recipient are refused", () => {
    for (const text of [
      messageId,
      `${messageId}.`,
      `${messageId}.01`,
      `${messageId}.000`,
      `${messageId}.00g`,
      `.001`,
      `${messageId}.123456789`,
    ]) {
      assert.equal(parseRowId(text), null, text);
    }
  });
});
