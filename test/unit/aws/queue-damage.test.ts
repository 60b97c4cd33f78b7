/** Items of mail that cannot be read: they stop nothing, are told of once, and stay for an operator. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { GetItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";

import { marshal, unmarshal } from "#shared/aws/items.ts";
import type { Value } from "#shared/aws/items.ts";
import { rowKey } from "#shared/aws/keys.ts";
import type { Message } from "#shared/domain/message.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import { DAY, HOUR, MINUTE } from "#shared/domain/units.ts";
import type { Taken } from "#shared/ports/queue-store.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { faultyAwsQueue } from "../../support/aws-queue.ts";
import type { FaultyAwsQueue } from "../../support/aws-queue.ts";
import { bodyOf, takeRequest } from "../../support/backend.ts";
import { attempt, message, queueRow, zoneA } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import type { FakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";

stopLocalAwsAtEnd();

const BYTES = "Subject: hello\r\n\r\nhello\r\n";

interface Mail {
  readonly message: Message;
  readonly rows: readonly QueueRow[];
}

async function accept(aws: FaultyAwsQueue, clock: FakeClock, fields: Partial<QueueRow>[]): Promise<Mail> {
  const mail = message({ acceptedAt: clock.now(), recipientCount: fields.length });
  const rows = fields.map((one, i) => queueRow(mail, i + 1, one));
  await aws.bodies.put(mail.id, once());
  assert.equal(await aws.queue.accept(mail, rows), "accepted");
  return { message: mail, rows };
}

async function* once(): AsyncGenerator<Buffer> {
  yield Buffer.from(BYTES);
}

async function damage(
  { clients, names }: FaultyAwsQueue,
  mail: Mail,
  seq: number,
  name: string,
  value: Value,
) {
  await clients.dynamo.send(
    new UpdateItemCommand({
      TableName: names.table,
      Key: marshal({ ...rowKey(mail.message.id, seq) }),
      UpdateExpression: "SET #name = :value",
      ExpressionAttributeNames: { "#name": name },
      ExpressionAttributeValues: marshal({ ":value": value }),
    }),
  );
}

async function storedItem({ clients, names }: FaultyAwsQueue, { message: { id } }: Mail, seq: number) {
  const Key = marshal({ ...rowKey(id, seq) });
  const { Item } = await clients.dynamo.send(new GetItemCommand({ TableName: names.table, Key }));
  return unmarshal(Item ?? {});
}

async function deliver(aws: FaultyAwsQueue, taken: readonly Taken[]): Promise<void> {
  const leases = taken.flatMap((group) => group.leases);
  await aws.queue.settle(
    leases.map((lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() })),
  );
}

const idsOf = (taken: readonly Taken[]): string[] =>
  taken.flatMap(({ leases }) => leases.map(({ row }) => row.id)).toSorted();
const toldOf = ({ troubles }: FaultyAwsQueue): string[] => troubles.map(({ kind }) => kind);
const query = { zone: zoneA, states: ["queued", "leased", "deferred"], order: "oldest-first" } as const;

async function lookEverywhere(aws: FaultyAwsQueue): Promise<void> {
  await aws.queue.take(takeRequest());
  await aws.queue.sweep();
  await aws.queue.list({ ...query, limit: 10, cursor: null });
  await aws.queue.counts();
}

describe("items that cannot be read", { skip: noLocalAws() }, () => {
  for (const [what, name, value] of [
    ["a state that is none", "st", "?"],
    ["no time at which it is due", "u", "soon"],
    ["a message of another shape", "b", "bytes"],
    ["an index key that leads nowhere", "s", "q#nonsense"],
    ["an index key that leads to another", "s", "q#01m7xqtfb70vggc4rmsm6cae94.001"],
  ] as const) {
    test(`a row with ${what} leaves the mail beside it to be sent, and is told of once`, async () => {
      const clock = fakeClock();
      await using aws = await faultyAwsQueue(clock);
      const bad = await accept(aws, clock, [{}]);
      const good = await accept(aws, clock, [{}]);
      await damage(aws, bad, 1, name, value);
      await aws.queue.list({ ...query, limit: 10, cursor: null });
      const taken = await aws.queue.take(takeRequest());
      assert.ok(idsOf(taken).includes(good.rows[0]?.id ?? ""));
      await deliver(aws, taken);
      await clock.advance(HOUR);
      for (let i = 0; i < 3; i++) await lookEverywhere(aws);
      assert.deepEqual(toldOf(aws).slice(1), [], "once at most");
      assert.deepEqual(await aws.queue.counts(), [], "it is in no index");
    });
  }

  test("one stays as it is, with the reason and the time, and its body stays", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const bad = await accept(aws, clock, [{}]);
    await damage(aws, bad, 1, "st", "?");
    assert.deepEqual(await aws.queue.take(takeRequest()), []);
    await aws.close();
    assert.deepEqual(toldOf(aws), ["unreadable"]);
    const item = await storedItem(aws, bad, 1);
    assert.equal(item["st"], "?");
    assert.equal(item["r"], bad.rows[0]?.recipient);
    assert.equal(item["ua"], clock.now());
    assert.match(item["ur"] as string, /state \?/);
    assert.equal((await bodyOf(aws, bad.message.id))?.toString(), BYTES);
  });

  test("a deferred row that cannot be read holds up no sweep", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const deferred = { state: "deferred", dueAt: clock.in(2 * HOUR) } as const;
    const bad = await accept(aws, clock, [deferred]);
    await accept(aws, clock, [deferred]);
    await damage(aws, bad, 1, "a", "many");
    await clock.advance(2 * HOUR);
    assert.equal((await aws.queue.sweep()).fed, 1);
    assert.equal((await aws.queue.sweep()).fed, 0);
    assert.deepEqual(toldOf(aws), ["unreadable"]);
  });

  test("a message takes its rows along", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock);
    const bad = await accept(aws, clock, [{}, {}, {}]);
    await damage(aws, bad, 1, "rc", "many");
    assert.deepEqual(await aws.queue.take(takeRequest()), []);
    await clock.advance(HOUR);
    for (let i = 0; i < 3; i++) await lookEverywhere(aws);
    assert.deepEqual(toldOf(aws), ["unreadable", "unreadable", "unreadable"]);
    assert.deepEqual(await aws.queue.counts(), []);
    assert.equal(await aws.queue.get(bad.message.id), null);
    assert.ok((await storedItem(aws, bad, 3))["ua"] !== undefined);
  });

  test("a message one row of which lies aside keeps its body, and is not forgotten", async () => {
    const clock = fakeClock();
    await using aws = await faultyAwsQueue(clock, { historyMs: DAY });
    const mail = await accept(aws, clock, [{}, {}, {}]);
    await damage(aws, mail, 2, "t", "first");
    const taken = await aws.queue.take(takeRequest());
    assert.equal(idsOf(taken).length, 2);
    await deliver(aws, taken);
    await clock.advance(DAY + MINUTE);
    for (let i = 0; i < 3; i++) assert.equal((await aws.queue.sweep()).purged, 0);
    assert.equal((await storedItem(aws, mail, 1))["ua"], undefined);
    assert.equal((await bodyOf(aws, mail.message.id))?.toString(), BYTES);
  });
});
