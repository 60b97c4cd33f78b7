/** Receivers told from the stream: real HTTP receivers, the backlog in a table of the local AWS, time as the test says. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { PutItemCommand } from "@aws-sdk/client-dynamodb";
import type { DynamoDBRecord } from "aws-lambda";

import { consumerOf, GIVE_UP_MS, MAX_RETRY_MS } from "#shared/app/notify.ts";
import type { Post } from "#shared/app/notify.ts";
import { RESERVED_MS, SLOW_MS } from "#shared/app/notify-stream.ts";
import { dynamoEventBacklog } from "#shared/aws/event-backlog.ts";
import { marshal } from "#shared/aws/items.ts";
import type { EventReceiver } from "#shared/domain/config.ts";
import type { EventType, MailEvent } from "#shared/domain/event.ts";
import { EVENT_TYPES } from "#shared/domain/event.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { rowIdOf } from "#shared/domain/ids.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { EventBacklog } from "#shared/ports/event-backlog.ts";
import { httpPost } from "#shared/runtime/http-post.ts";
import { notifyAgainHandler, notifyHandler } from "../../../lambdas/notify.ts";
import { newInstallation, sharedLocalAws, stopLocalAwsAtEnd, storeClock } from "../../support/aws-backend.ts";
import { address, attempt, zoneA } from "../../support/builders.ts";
import { startReceiver } from "../../support/event-receiver.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { countsUnits, noLocalAws } from "../../support/local-aws.ts";
import { sdkFaults } from "../../support/sdk-faults.ts";
import { toldTelemetry } from "../../support/told-telemetry.ts";

stopLocalAwsAtEnd();

/** As long as a Lambda of the stacks may run. */
const LAMBDA_MS = MINUTE;

function receiverAt(url: string, fields: Partial<EventReceiver> = {}): EventReceiver {
  return { url, format: "json", types: EVENT_TYPES, secret: null, ...fields };
}

interface Options {
  /** In place of the real one. */
  readonly post?: Post;
  /** Around the real one. */
  readonly backlogOf?: (real: EventBacklog) => EventBacklog;
}

/** An installation: its stream, of which each record is one event, and the two Lambdas that tell receivers. */
async function installation(receivers: readonly EventReceiver[]) {
  const clock = fakeClock();
  const aws = await sharedLocalAws();
  const names = aws.newNames();
  await newInstallation(aws.clients, names);
  const clients = aws.newClients();
  const faults = sdkFaults(clients);
  const { table } = names;
  const real = dynamoEventBacklog({ dynamo: clients.dynamo, table, clock: storeClock(clock) });
  const telemetry = toldTelemetry();
  let number = 0;

  function record(text: string): DynamoDBRecord {
    const SequenceNumber = String(++number * 50); // not always of as many digits
    return { eventID: `${text} ${clock.now()}`, dynamodb: { SequenceNumber } };
  }

  function lambdas({ post = httpPost(), backlogOf = (backlog) => backlog }: Options) {
    const queue = { get: async () => null };
    const deps = {
      receivers: async () => receivers,
      telemetry,
      backlog: backlogOf(real),
      queue,
      clock,
      post,
    };
    return { now: notifyHandler({ ...deps, eventsOf }), again: notifyAgainHandler(deps) };
  }

  return {
    clock,
    faults,
    telemetry,
    backlog: real,
    /** `a1:bounce b1`: events of message `a`, recipient 1, and of `b`: deliveries unless they say otherwise. */
    records: (text: string): DynamoDBRecord[] => text.split(" ").map(record),
    /** The stream brings them. */
    async brings(text: string, options: Options = {}): Promise<void> {
      const answer = await lambdas(options).now({ Records: text.split(" ").map(record) });
      assert.deepEqual(answer, { batchItemFailures: [] });
    },
    stream: (Records: DynamoDBRecord[], options: Options = {}) => lambdas(options).now({ Records }),
    /** The schedule comes round. */
    again: (options: Options = {}, getRemainingTimeInMillis = () => LAMBDA_MS): Promise<void> =>
      lambdas(options).again({}, { getRemainingTimeInMillis }),
    async putItem(item: Record<string, string>): Promise<void> {
      await aws.clients.dynamo.send(new PutItemCommand({ TableName: table, Item: marshal(item) }));
    },
    isOpen: (receiver: EventReceiver) => real.isOpen(consumerOf(receiver)),
  };
}

function eventsOf({ eventID = "" }: DynamoDBRecord): MailEvent[] {
  const [word = "", at = ""] = eventID.split(" ");
  if (word === "-") return [];
  const [row = "", type = "delivery"] = word.split(":");
  const messageId = row.charAt(0) as MessageId;
  return [
    {
      type: type as EventType,
      at: Number(at) as MailEvent["at"],
      messageId,
      rowId: rowIdOf(messageId, Number(row.slice(1))),
      zone: zoneA,
      returnPath: null,
      recipient: address("rcpt@one.example"),
      attempts: 1,
      attempt: attempt(),
    },
  ];
}

const toldTo = ({ taken }: { taken: readonly { messageId: string; seq: string | null }[] }): string =>
  taken.map(({ messageId, seq }) => messageId + Number(seq)).join(" ");

describe("a receiver that is told from the stream", { skip: noLocalAws() }, () => {
  test("gets what it wants in one request, and costs the table a read and no write", async () => {
    await using receiver = await startReceiver();
    const it = await installation([receiverAt(receiver.url, { types: ["delivery"] })]);
    await it.brings("a1 - b1:hold a2 b2");
    assert.deepEqual([toldTo(receiver), receiver.posts.length], ["a1 a2 b2", 1]);
    assert.deepEqual(it.telemetry.counts, { EventsTold: 3 });
    await it.again();
    assert.deepEqual([...it.faults.sent], [["Query", 2]]);
    if (countsUnits()) assert.equal(it.faults.capacity.write, 0);
    await it.brings("c1:hold -");
    assert.deepEqual([...it.faults.sent], [["Query", 2]], "what nobody wants costs nothing");
  });

  test("hears of what comes with an event that cannot be put into words, which is told aloud", async () => {
    await using receiver = await startReceiver();
    const it = await installation([receiverAt(receiver.url)]);
    const [first, last] = it.records("a1 b1");
    const broken = { eventID: "c1 never", dynamodb: { SequenceNumber: "75" } };
    assert.ok(first && last);
    assert.deepEqual(await it.stream([first, broken, last]), { batchItemFailures: [] });
    assert.equal(toldTo(receiver), "a1 b1");
    assert.deepEqual(await it.stream([broken]), { batchItemFailures: [] });
    assert.equal(receiver.posts.length, 1, "with nothing to tell nobody is asked");
    assert.equal(it.telemetry.counts.EventsFailed, 2);
    assert.equal(it.telemetry.lines.at(-1)?.message, "event not tellable");
  });

  test("that fails hears of everything in order when it is well again, and at once from then on", async () => {
    await using receiver = await startReceiver();
    const it = await installation([receiverAt(receiver.url)]);
    receiver.answer = () => 503;
    await it.brings("a1 b1");
    receiver.answer = () => 200;
    await it.brings("a2 c1");
    assert.deepEqual(
      [toldTo(receiver), receiver.posts.length],
      ["", 1],
      "new events go behind those that it has not taken",
    );
    assert.equal(it.telemetry.counts.EventsKept, 4);
    await it.again();
    assert.equal(toldTo(receiver), "", "its first pause is not over");
    await it.clock.advance(MINUTE);
    await it.again();
    assert.deepEqual([toldTo(receiver), receiver.posts.length], ["a1 b1 a2 c1", 2], "all in one request");
    await it.brings("a3");
    assert.equal(toldTo(receiver), "a1 b1 a2 c1 a3");
  });

  test("is tried less often the longer it fails", async () => {
    await using receiver = await startReceiver();
    const it = await installation([receiverAt(receiver.url)]);
    receiver.answer = () => 503;
    await it.brings("a1");
    const tried: number[] = [];
    for (let minute = 0; minute < 20; minute++) {
      await it.clock.advance(MINUTE);
      const posts = receiver.posts.length;
      await it.again();
      if (receiver.posts.length > posts) tried.push(minute);
    }
    assert.ok(tried.length < 20 && tried.length > 20 / (MAX_RETRY_MS / MINUTE), String(tried));
    assert.deepEqual(
      tried.slice(-2).map((minute, i, all) => minute - (all[i - 1] ?? minute)),
      [0, MAX_RETRY_MS / MINUTE],
    );
  });

  test("that took something is tried as soon as after a first failure", async () => {
    await using receiver = await startReceiver();
    const form = receiverAt(receiver.url, { format: "form" });
    const it = await installation([form]);
    receiver.answer = () => 503;
    await it.brings("a1 b1 c1");
    for (let time = 0; time < 10; time++) {
      await it.clock.advance(MAX_RETRY_MS);
      await it.again();
    }
    receiver.answer = ({ body }) => (new URLSearchParams(body).get("id") === "c" ? 503 : 200);
    await it.clock.advance(MAX_RETRY_MS);
    await it.again();
    receiver.answer = () => 200;
    await it.clock.advance(2 * SECOND);
    await it.again();
    assert.equal(await it.isOpen(form), false);
  });

  test("that is dead for good keeps nobody waiting, is asked seldom, and is given up after a day, aloud", async () => {
    await using good = await startReceiver();
    await using dead = await startReceiver();
    dead.answer = () => 500;
    const it = await installation([receiverAt(dead.url), receiverAt(good.url)]);
    await it.brings("a1 b1");
    await it.brings("a2");
    assert.deepEqual([toldTo(good), dead.posts.length], ["a1 b1 a2", 1]);
    await it.clock.advance(GIVE_UP_MS - MINUTE);
    await it.brings("c1");
    await it.again();
    assert.equal(it.telemetry.counts.EventsGivenUp, undefined);
    await it.clock.advance(MAX_RETRY_MS);
    await it.again();
    assert.equal(it.telemetry.counts.EventsGivenUp, 3);
    assert.ok(
      it.telemetry.lines.some(
        ({ level, message }) => level === "error" && message.startsWith("events given up"),
      ),
    );
    dead.answer = () => 200;
    await it.clock.advance(MAX_RETRY_MS);
    await it.again();
    assert.deepEqual([toldTo(dead), toldTo(good)], ["c1", "a1 b1 a2 c1"]);
    assert.equal(await it.isOpen(receiverAt(dead.url)), false);
  });

  test("is told of what is older than a day when it does not fail", async () => {
    await using receiver = await startReceiver();
    const it = await installation([receiverAt(receiver.url)]);
    receiver.answer = () => 503;
    await it.brings("a1");
    receiver.answer = () => 200;
    await it.clock.advance(2 * GIVE_UP_MS); // we were down
    await it.again();
    assert.equal(toldTo(receiver), "a1");
  });

  test("that is slow delays the stream once, and is told the rest on the schedule", async () => {
    await using slow = await startReceiver();
    const bounces = receiverAt(slow.url, { format: "form", types: ["bounce"] });
    const it = await installation([bounces]);
    const real = httpPost();
    let asked = 0;
    const post: Post = async (request, signal) => {
      if (++asked === 2) await it.clock.advance(SLOW_MS);
      return real(request, signal);
    };
    await it.brings("a1:bounce b1:bounce c1:bounce d1:bounce", { post });
    await it.brings("a2:bounce", { post });
    assert.equal(slow.posts.length, 2);
    await it.again();
    const ids = slow.posts.map(({ body }) => new URLSearchParams(body).get("id"));
    assert.deepEqual(ids, ["a", "b", "c", "d", "a"]);
    assert.equal(await it.isOpen(bounces), false);
  });

  test("that broke off at once is asked a second time, for a connection may have been closed while we stood still", async () => {
    await using receiver = await startReceiver();
    const it = await installation([receiverAt(receiver.url)]);
    const real = httpPost();
    let asked = 0;
    const post: Post = (request, signal) =>
      ++asked === 1 ? Promise.resolve({ kind: "failed", detail: "ECONNRESET" }) : real(request, signal);
    await it.brings("a1", { post });
    assert.deepEqual([toldTo(receiver), await it.isOpen(receiverAt(receiver.url))], ["a1", false]);
  });
});

describe("nothing is lost", { skip: noLocalAws() }, () => {
  test("when the Lambda at the stream is cut off after it has told, or while it keeps: all comes again", async () => {
    await using good = await startReceiver();
    await using bad = await startReceiver();
    bad.answer = () => 503;
    const it = await installation([receiverAt(good.url), receiverAt(bad.url)]);
    const batch = it.records("a1 a2 b1");
    const cut = Promise.withResolvers<void>();
    // It has kept the events, and is gone before the stream hears of it.
    const keepsAndDies = (real: EventBacklog): EventBacklog => ({
      ...real,
      async keep(...kept) {
        await real.keep(...kept);
        cut.resolve();
        return new Promise(() => undefined);
      },
    });
    void it.stream(batch, { backlogOf: keepsAndDies });
    await cut.promise;
    await good.waitFor(1);
    bad.answer = () => 200;
    await it.clock.advance(2 * SECOND);
    assert.deepEqual(await it.stream(batch), { batchItemFailures: [] });
    await it.again();
    assert.equal(toldTo(good), "a1 a2 b1 a1 a2 b1");
    assert.equal(toldTo(bad), "a1 a2 b1 a1 a2 b1");
    const ids = bad.taken.map(({ id }) => id);
    assert.equal(new Set(ids).size, 3, "a double has the id of the first");
  });

  test("when the Lambda on the schedule is cut off after it has told: the next one tells again, once its time is over", async () => {
    await using receiver = await startReceiver();
    const it = await installation([receiverAt(receiver.url)]);
    receiver.answer = () => 503;
    await it.brings("a1 a2");
    receiver.answer = () => 200;
    await it.clock.advance(2 * SECOND);
    const cut = Promise.withResolvers<void>();
    const dies = (real: EventBacklog): EventBacklog => ({
      ...real,
      remove: (_claim, keys) => {
        if (keys.length === 0) return Promise.resolve();
        cut.resolve();
        return new Promise(() => undefined);
      },
    });
    void it.again({ backlogOf: dies });
    await cut.promise;
    assert.equal(toldTo(receiver), "a1 a2");
    await it.again();
    assert.equal(toldTo(receiver), "a1 a2", "its claim holds until it would have ended");
    await it.brings("a3");
    await it.clock.advance(LAMBDA_MS);
    await it.again();
    assert.equal(toldTo(receiver), "a1 a2 a1 a2 a3");
    assert.equal(await it.isOpen(receiverAt(receiver.url)), false);
  });

  test("when the table cannot keep what a receiver did not take: the stream gives it again", async () => {
    await using receiver = await startReceiver();
    const it = await installation([receiverAt(receiver.url)]);
    receiver.answer = () => 503;
    it.faults.fail("BatchWriteItem", 1, new Error("the table is down"));
    const batch = it.records("- a1 b1");
    const first = batch[1]?.dynamodb?.SequenceNumber;
    assert.deepEqual(await it.stream(batch), { batchItemFailures: [{ itemIdentifier: first }] });
    assert.equal(it.telemetry.counts.EventsFailed, 1);
    it.faults.heal();
    receiver.answer = () => 200;
    assert.deepEqual(await it.stream(batch), { batchItemFailures: [] });
    await it.clock.advance(2 * SECOND);
    await it.again();
    assert.equal(toldTo(receiver), "a1 b1");
  });

  test("when time is over in the middle of a backlog: the next invocation goes on", async () => {
    await using receiver = await startReceiver();
    const form = receiverAt(receiver.url, { format: "form" });
    const it = await installation([form]);
    receiver.answer = () => 503;
    await it.brings("a1 b1 c1");
    await it.clock.advance(2 * SECOND);
    receiver.answer = () => 200;
    const real = httpPost();
    const post: Post = async (request, signal) => {
      await it.clock.advance(LAMBDA_MS - RESERVED_MS);
      return real(request, signal);
    };
    receiver.posts.length = 0;
    await it.again({ post });
    await it.again({ post });
    await it.again({ post });
    assert.deepEqual(
      receiver.posts.map(({ body }) => new URLSearchParams(body).get("id")),
      ["a", "b", "c"],
    );
  });

  test("when something that nobody can read lies among what was kept: it is told aloud, and the rest to the receiver", async () => {
    await using receiver = await startReceiver();
    const webhook = receiverAt(receiver.url);
    const it = await installation([webhook]);
    receiver.answer = () => 503;
    await it.brings("a1");
    await it.putItem({ PK: `e#${consumerOf(webhook)}`, SK: "1#0", events: "nonsense" });
    receiver.answer = () => 200;
    await it.clock.advance(2 * SECOND);
    await it.again();
    assert.equal(toldTo(receiver), "a1");
    assert.deepEqual(
      it.telemetry.lines.filter(({ level }) => level === "error").map(({ message }) => message),
      ["kept events not readable"],
    );
    assert.equal(await it.isOpen(webhook), false);
  });
});
