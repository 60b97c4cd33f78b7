/** Rows and messages as items, and the events that changes of items tell. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { MARK } from "#shared/aws/batch-statement.ts";
import { eventsOfRecord, TELLS, TELLS_OF_STATE } from "#shared/aws/event-stream.ts";
import { marshal, unmarshal } from "#shared/aws/items.ts";
import {
  keyOfRow,
  messageKey,
  readDueSort,
  readPurgeSort,
  rowIdOfKey,
  rowKey,
  dueSort,
  purgeSort,
  shardOf,
  SHARDS,
  timeDigits,
} from "#shared/aws/keys.ts";
import {
  attributesOfMessage,
  attributesOfRow,
  bodyRefOfItem,
  messageOfItem,
  rowOfItem,
} from "#shared/aws/row-item.ts";
import type { Item } from "#shared/aws/row-item.ts";
import type { Message } from "#shared/domain/message.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { PLAIN_WAY } from "#shared/domain/way.ts";
import type { WayId } from "#shared/domain/way.ts";
import { attempt, message, newMessageId, queueRow } from "../../support/builders.ts";

const mail = message({ recipientCount: 2 });

function itemOf(row: QueueRow, of: Message | null, fields: Item = {}): Item {
  const stored = {
    ...rowKey(row.messageId, row.seq),
    ...(of ? attributesOfMessage(of, null) : {}),
    ...attributesOfRow(row, mail.returnPath),
    ...fields,
  };
  return unmarshal(marshal(stored));
}

const textOrNull = fc.option(fc.string(), { nil: null });
const plain = { noNullPrototype: true };
const replies = fc.record({ code: fc.nat(), enhanced: textOrNull, text: fc.string() }, plain);
const attempts = fc
  .record(
    {
      at: fc.nat(),
      durationMs: fc.nat(),
      kind: fc.constantFrom("delivered", "deferred", "bounced"),
      cause: fc.constantFrom(null, "reply", "expired"),
      reply: fc.option(replies, { nil: null }),
      detail: fc.string(),
      status: fc.string(),
      category: fc.constantFrom(null, "spam"),
      route: fc.record({ mx: textOrNull, peer: textOrNull, egress: textOrNull }, plain),
    },
    plain,
  )
  .map((fields) => attempt(fields as Parameters<typeof attempt>[0]));

const { auth: _auth, ...plainWay } = PLAIN_WAY;
const ways = fc.constantFrom(null, [
  { ...plainWay, id: "~0" as WayId, hosts: ["r.example"], user: "u", sealed: "v1.x", secure: true },
  { ...plainWay, id: "~1" as WayId, user: null, sealed: null, skipSts: true },
]);

describe("items", () => {
  test("a row comes back as it was stored, whatever its last attempt says", () => {
    fc.assert(
      fc.property(attempts, fc.integer({ min: 1, max: 5_000 }), (lastAttempt, seq) => {
        const row = queueRow(mail, seq, { state: "deferred", attempts: 3, lastAttempt });
        assert.deepEqual(rowOfItem(itemOf(row, null)), row);
      }),
    );
  });

  test("a message comes back as it was stored, beside its first row", () => {
    fc.assert(
      fc.property(fc.record({ subject: textOrNull, smtputf8: fc.boolean(), ways }), (fields) => {
        const stored = { ...mail, ...fields, returnPath: null, from: null };
        const item = itemOf(queueRow(stored, 1), stored);
        assert.deepEqual(messageOfItem(item), stored);
        assert.deepEqual(rowOfItem(item), queueRow(stored, 1));
        assert.equal(bodyRefOfItem(item), null);
      }),
    );
  });

  test("what a newer version has added is no hindrance, and what is missing is told", () => {
    const row = queueRow(mail, 2);
    assert.deepEqual(rowOfItem(itemOf(row, null, { fromTheFuture: { a: 1 } })), row);
    assert.throws(() => rowOfItem(itemOf(row, null, { u: "soon" })), { name: "StoredItemError" });
    assert.throws(() => rowOfItem(itemOf(row, null, { st: "?" })), { name: "StoredItemError" });
  });

  test("an item that stands for a message given up is neither a message nor a row", () => {
    const item = { ...messageKey(mail.id), g: true };
    assert.equal(messageOfItem(item), null);
    assert.equal(rowOfItem(item), null);
  });
});

describe("keys", () => {
  test("the first row lies with its message, and every key leads back to its row", () => {
    const id = newMessageId();
    assert.deepEqual(rowKey(id, 1), messageKey(id));
    for (const seq of [1, 2, 4_095, 4_096, 70_000]) {
      const row = queueRow(message({ id }), seq);
      assert.equal(rowIdOfKey(keyOfRow(row.id)), row.id);
    }
    assert.equal(rowIdOfKey({ PK: "s#x", SK: "m" }), null);
  });

  test("times sort as numbers do, and sorts say what they are of", () => {
    const times = [0, 9, 10, 1_767_322_000_000, 9_999_999_999_999] as EpochMs[];
    assert.deepEqual(times.map(timeDigits).toSorted(), times.map(timeDigits));
    const { id } = queueRow(mail, 7);
    const dueAt = times[3] as EpochMs;
    assert.deepEqual(readDueSort(dueSort(dueAt, "signalled", id)), { dueAt, signalled: true, id });
    assert.deepEqual(readDueSort(dueSort(dueAt, "silent", id)), { dueAt, signalled: false, id });
    assert.equal(readPurgeSort(purgeSort(dueAt, mail.id)), mail.id);
  });

  test("messages spread evenly over the shards", () => {
    const counts = Array.from({ length: SHARDS }, () => 0);
    for (let i = 0; i < 4_000; i++) {
      const shard = shardOf(newMessageId());
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    assert.ok(
      counts.every((count) => count > 700 && count < 1_300),
      String(counts),
    );
  });
});

describe("events of the stream", () => {
  const told = (letter: string): Item => ({ [MARK]: `${letter}mark` });
  const record = (item: Item) => ({ dynamodb: { NewImage: marshal(item) } });

  test("a settle tells of its attempt, with the message's return path", () => {
    const lastAttempt = attempt({ at: 77 as EpochMs });
    const row = queueRow(mail, 2, { state: "bounced", attempts: 1, lastAttempt, finishedAt: 78 as EpochMs });
    assert.deepEqual(eventsOfRecord(record(itemOf(row, null, told(TELLS_OF_STATE.bounced)))), [
      {
        type: "bounce",
        at: 78,
        messageId: mail.id,
        rowId: row.id,
        zone: row.zone,
        returnPath: mail.returnPath,
        recipient: row.recipient,
        attempts: 1,
        attempt: lastAttempt,
      },
    ]);
  });

  test("a write that tells of nothing is no event: a lease, a renewal, a row put in before its message", () => {
    for (const row of [queueRow(mail, 1), queueRow(mail, 2)]) {
      assert.deepEqual(eventsOfRecord(record(itemOf(row, row.seq === 1 ? mail : null, told("-")))), []);
    }
    assert.deepEqual(eventsOfRecord({ dynamodb: { NewImage: undefined } }), [], "the end of an item");
    assert.deepEqual(eventsOfRecord({}), []);
    const other = { PK: "c#limits", SK: "x", [MARK]: "Dmark" };
    assert.deepEqual(eventsOfRecord(record(other)), [], "another kind of item");
  });

  test("what operators do is of no attempt, and at their time", () => {
    const lastAttempt = attempt();
    const at = 99;
    for (const [type, letter] of [
      ["hold", TELLS.hold],
      ["release", TELLS.release],
      ["drop", TELLS["operator-drop"]],
    ] as const) {
      const row = queueRow(mail, 1, { lastAttempt });
      const [event] = eventsOfRecord(record(itemOf(row, mail, { ...told(letter), ot: at })));
      assert.deepEqual([event?.type, event?.at, event?.attempt], [type, at, null]);
    }
  });

  test("a letter that this version does not know is no event", () => {
    assert.deepEqual(eventsOfRecord(record(itemOf(queueRow(mail, 1), mail, told("?")))), []);
  });
});
