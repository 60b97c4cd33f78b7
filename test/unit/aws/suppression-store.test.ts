/** Suppressions in DynamoDB: how few calls lookups are, and what happens when calls are refused, conflict or lose their answer. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { TransactionCanceledException } from "@aws-sdk/client-dynamodb";

import { dynamoSuppressionStore } from "#shared/aws/suppression-store.ts";
import type { Domain } from "#shared/domain/address.ts";
import type { MailOwner } from "#shared/domain/suppression.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { address } from "../../support/builders.ts";
import { countsUnits, noLocalAws } from "../../support/local-aws.ts";
import { ownTable } from "../../support/own-table.ts";

stopLocalAwsAtEnd();

const nobody: MailOwner = { returnPath: null, user: null };

async function opened() {
  const { clock, newProcess } = await ownTable();
  const { deps, faults } = newProcess();
  return {
    clock,
    store: dynamoSuppressionStore(deps),
    faults,
    /** Of another process. */
    other: dynamoSuppressionStore(newProcess().deps),
  };
}

function conflict(): Error {
  return new TransactionCanceledException({
    message: "of the test",
    $metadata: {},
    CancellationReasons: [{ Code: "None" }, { Code: "TransactionConflict" }],
  });
}

describe("suppressions in DynamoDB", { skip: noLocalAws() }, () => {
  test("many recipients are looked up a hundred keys a call, each domain once", async () => {
    const { store, faults } = await opened();
    const entry = await store.add({ address: address("rcpt150@one.example"), reason: null });
    const recipients = Array.from({ length: 250 }, (_, i) => address(`rcpt${i}@one.example`));
    const found = await store.find(recipients, nobody);
    assert.deepEqual(
      found.flatMap((one, i) => (one ? [i] : [])),
      [150],
    );
    assert.deepEqual(found[150], entry);
    assert.equal(faults.sent.get("BatchGetItem"), 3, "251 keys");
  });

  test("mails that come at the same time are looked up together", async () => {
    const { store, faults } = await opened();
    await Promise.all(
      Array.from({ length: 40 }, (_, i) => store.find([address(`rcpt${i}@d${i}.example`)], nobody)),
    );
    assert.equal(faults.sent.get("BatchGetItem"), 1);
    if (countsUnits()) assert.equal(faults.capacity.read, 40, "half a unit for each of 80 keys");
  });

  test("keys that a batch left unread are asked for again", async () => {
    const { store, faults } = await opened();
    const entries = [];
    for (let i = 0; i < 8; i++)
      entries.push(await store.add({ address: address(`rcpt${i}@one.example`), reason: null }));
    faults.leaveHalf("BatchGetItem", 3);
    const found = await store.find(
      entries.map((entry) => entry.address ?? address("none@one.example")),
      nobody,
    );
    assert.deepEqual(found, entries);
  });

  test("a lookup that is refused for good fails: nobody is taken to be free", async () => {
    const { store, faults } = await opened();
    faults.throttle("BatchGetItem", 3);
    await assert.rejects(store.find([address("anna@one.example")], nobody), {
      name: "ProvisionedThroughputExceededException",
    });
  });

  test("a recipient found free is not asked for again for some seconds, and then anew", async () => {
    const { store, other, faults, clock } = await opened();
    const anna = address("anna@one.example");
    assert.deepEqual(await store.find([anna], nobody), [null]);
    const entry = await other.add({ address: anna, reason: null });
    faults.reset();
    assert.deepEqual(await store.find([anna], nobody), [null]);
    assert.equal(faults.sent.get("BatchGetItem"), undefined);
    await clock.advance(5 * SECOND);
    assert.deepEqual(await store.find([anna], nobody), [entry]);
    assert.equal(await other.remove(entry.id), true);
    assert.deepEqual(await store.find([anna], nobody), [null], "an entry is never remembered");
  });

  test("a scope without entries costs one lookup in some seconds, and none for each recipient", async () => {
    const { store, other, faults, clock } = await opened();
    const owner = { returnPath: address("news@sender.example"), user: "shop" };
    await store.find([address("anna@one.example")], owner);
    assert.equal(faults.sent.get("BatchGetItem"), 1);
    if (countsUnits())
      assert.equal(faults.capacity.read, 2, "half a unit for the address, the domain and two scopes");
    faults.reset();
    await store.find([address("ben@two.example")], owner);
    if (countsUnits()) assert.equal(faults.capacity.read, 1);
    const scope = { kind: "user", user: "shop" } as const;
    const entry = await other.add({ address: address("ben@two.example"), scope, reason: null });
    await clock.advance(5 * SECOND);
    assert.deepEqual(await store.find([address("ben@two.example")], owner), [entry]);
  });

  test("an entry added while a lookup is under way is seen by the next one", async () => {
    const { store, faults } = await opened();
    const anna = address("anna@one.example");
    const { promise: turn, resolve: go } = Promise.withResolvers<void>();
    faults.leaveHalf("BatchGetItem"); // the first try misses a key, and the second one waits
    let tries = 0;
    faults.before("BatchGetItem", () => (++tries === 2 ? turn : undefined));
    const early = store.find([anna], nobody);
    const entry = await store.add({ domain: "one.example" as Domain, reason: null });
    go();
    await early;
    assert.deepEqual(await store.find([anna], nobody), [entry]);
  });

  test("an addition that meets another transaction is tried again", async () => {
    const { store, faults } = await opened();
    faults.fail("TransactWriteItems", 3, conflict());
    const entry = await store.add({ domain: "one.example" as Domain, reason: "why" });
    assert.deepEqual((await store.list({ limit: 10, cursor: null })).entries, [entry]);
    faults.fail("TransactWriteItems", 2, conflict());
    assert.equal(await store.remove(entry.id), true);
    assert.deepEqual((await store.list({ limit: 10, cursor: null })).entries, []);
  });

  test("an addition that meets others for good fails, and leaves nothing half done", async () => {
    const { store, faults } = await opened();
    faults.fail("TransactWriteItems", Number.POSITIVE_INFINITY, conflict());
    await assert.rejects(
      store.add({ domain: "one.example" as Domain, reason: null }),
      TransactionCanceledException,
    );
    assert.deepEqual((await store.list({ limit: 10, cursor: null })).entries, []);
    assert.deepEqual(await store.find([address("anna@one.example")], nobody), [null]);
  });

  test("an addition or a removal whose answer was lost is done once, and known as one's own", async () => {
    const { store, faults } = await opened();
    faults.loseAnswer("TransactWriteItems");
    const entry = await store.add({ domain: "one.example" as Domain, reason: null });
    assert.deepEqual((await store.list({ limit: 10, cursor: null })).entries, [entry]);
    assert.deepEqual(await store.find([address("anna@one.example")], nobody), [entry]);
    faults.loseAnswer("TransactWriteItems");
    assert.equal(await store.remove(entry.id), true);
    assert.equal(await store.remove(entry.id), false);
  });

  test("a list that is taken in again writes what is new, or stays longer, and nothing else", async () => {
    const { store, faults } = await opened();
    const expiresAt = 4_000_000_000_000 as EpochMs;
    const requests = ["a", "b", "c"].map((name) => ({
      domain: `${name}.example` as Domain,
      reason: null,
      expiresAt,
    }));
    await store.addAll(requests);
    faults.reset();
    const fresh = { domain: "d.example" as Domain, reason: null };
    const results = await store.addAll([...requests, fresh]);
    assert.deepEqual(
      results.map(({ entry, added }) => [entry.domain, added]),
      [
        ["a.example", false],
        ["b.example", false],
        ["c.example", false],
        ["d.example", true],
      ],
    );
    assert.equal(faults.sent.get("TransactWriteItems"), 1);
    const [longer] = await store.addAll([{ domain: "b.example" as Domain, reason: null }]);
    assert.deepEqual([longer?.entry.expiresAt, longer?.added], [null, false]);
  });
});
