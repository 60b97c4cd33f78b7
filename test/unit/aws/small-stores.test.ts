/** Documents, workers and secrets in DynamoDB when answers are lost or refused, and what lies in the table of a secret. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { dynamoConfigStore } from "#shared/aws/config-store.ts";
import { noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { dynamoFleetStore } from "#shared/aws/fleet-store.ts";
import type { TableDeps } from "#shared/aws/items.ts";
import { aesSealer, SEAL_KEY_BYTES, sealingBy } from "#shared/app/sealer.ts";
import { dynamoSecretStore } from "#shared/aws/secret-store.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { DAY, KIB, MINUTE } from "#shared/domain/units.ts";
import { stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { anna } from "../../support/builders.ts";
import { countsUnits, noLocalAws } from "../../support/local-aws.ts";
import { ownTable } from "../../support/own-table.ts";

stopLocalAwsAtEnd();

async function opened<S>(storeOf: (deps: TableDeps) => S) {
  const { clock, newProcess, items } = await ownTable();
  const { deps, faults } = newProcess();
  return {
    clock,
    deps,
    store: storeOf(deps),
    /** Of another process. */
    other: storeOf(newProcess().deps),
    faults,
    /** All that lies in the table, as text. */
    contents: async (): Promise<string> => JSON.stringify(await items()),
  };
}

describe("documents in DynamoDB", { skip: noLocalAws() }, () => {
  test("a write whose answer was lost is known as one's own, and is done once", async () => {
    const { store, faults } = await opened(dynamoConfigStore);
    faults.loseAnswer("PutItem");
    const first = await store.put({ kind: "rule", name: "one", value: 1 }, 0);
    assert.ok(first);
    faults.loseAnswer("PutItem");
    faults.loseAnswer("UpdateItem");
    const second = await store.put({ kind: "rule", name: "one", value: 2 }, first.version);
    assert.ok(second);
    assert.ok(second.version > first.version);
    assert.deepEqual(await store.get("rule", "one"), second);
    faults.loseAnswer("DeleteItem");
    assert.equal(await store.remove("rule", "one"), true);
    assert.equal(await store.remove("rule", "one"), false);
  });

  test("a removal that meets a write removes what was written", async () => {
    const { store, other, faults } = await opened(dynamoConfigStore);
    const first = await store.put({ kind: "rule", name: "one", value: 1 }, 0);
    let once = true;
    faults.before("DeleteItem", async () => {
      if (once) await other.put({ kind: "rule", name: "one", value: 2 }, first?.version ?? 0);
      once = false;
    });
    assert.equal(await store.remove("rule", "one"), true);
    assert.equal(await other.get("rule", "one"), null);
  });

  test("a document that does not fit in an item is the caller's mistake", async () => {
    const { store } = await opened(dynamoConfigStore);
    const value = "x".repeat(380 * KIB);
    await assert.rejects(store.put({ kind: "rule", name: "one", value }, 0), DomainError);
    await assert.rejects(store.put({ kind: "rule", name: "one", value: undefined }, 0), DomainError);
    const most = "x".repeat(380 * KIB - 2);
    assert.ok(await store.put({ kind: "rule", name: "y".repeat(1_000), value: most }, 0), "the most fits");
  });

  test("more documents than one page of the table holds are all listed", async () => {
    const { store } = await opened(dynamoConfigStore);
    const value = "x".repeat(300 * KIB);
    const names = ["a", "b", "c", "d", "e"];
    for (const name of names) await store.put({ kind: "rule", name, value }, 0);
    assert.deepEqual(
      (await store.list("rule")).map(({ name }) => name),
      names,
    );
  });

  test("a table that refuses for a while is waited for, and for good is a fault", async () => {
    const { store, faults } = await opened(dynamoConfigStore);
    faults.throttle("GetItem", 1);
    assert.equal(await store.get("rule", "one"), null);
    faults.throttle("GetItem", 3);
    await assert.rejects(store.get("rule", "one"), { name: "ProvisionedThroughputExceededException" });
  });
});

describe("workers in DynamoDB", { skip: noLocalAws() }, () => {
  test("a beat whose answer was lost counts, and costs one unit", async () => {
    const { store, faults, clock } = await opened(dynamoFleetStore);
    const [startedAt, until] = [clock.now(), clock.in(MINUTE)];
    const member = { worker: anna, hostname: "host", pid: 7, startedAt, until, addresses: ["192.0.2.1"] };
    await store.beat(member);
    if (countsUnits()) assert.equal(faults.capacity.write, 1);
    faults.loseAnswer("PutItem");
    await store.beat({ ...member, until: clock.in(2 * MINUTE) });
    assert.deepEqual(await store.living(), [{ ...member, until: clock.in(2 * MINUTE) }]);
  });

  test("a worker that died is taken away by the table a day later", async () => {
    const { store, clock, contents } = await opened(dynamoFleetStore);
    const now = clock.now();
    await store.beat({ worker: anna, hostname: "h", pid: 7, startedAt: now, until: now, addresses: [] });
    assert.match(await contents(), new RegExp(`"ttl":\\{"N":"${(now + DAY) / 1_000}"\\}`));
  });
});

describe("secrets in DynamoDB", { skip: noLocalAws() }, () => {
  const withKey = () => {
    const sealer = aesSealer(randomBytes(SEAL_KEY_BYTES));
    return sealingBy(async () => sealer);
  };
  const sealing = withKey();

  test("a DKIM key cannot be read from the table, nor with another key to seal with", async () => {
    const { store, deps, contents } = await opened((deps) => dynamoSecretStore({ ...deps, sealing }));
    await store.put("dkim", "one.example", "the private key");
    assert.equal((await contents()).includes("the private key"), false);
    assert.equal(await store.get("dkim", "one.example"), "the private key");
    const other = dynamoSecretStore({ ...deps, sealing: withKey() });
    await assert.rejects(other.get("dkim", "one.example"));
  });

  test("who has no key to seal with can use accounts and API keys, and no DKIM key", async () => {
    const { store, deps } = await opened((deps) => dynamoSecretStore({ ...deps, sealing }));
    const lambda = dynamoSecretStore({ ...deps, sealing: noDeploymentSecret.sealing });
    await store.put("dkim", "one.example", "key");
    await lambda.put("account", "anna", "hash");
    assert.equal(await store.get("account", "anna"), "hash");
    await assert.rejects(lambda.get("dkim", "one.example"), /ZONEFLEET_SECRET/);
    await assert.rejects(lambda.put("dkim", "two.example", "key"), /ZONEFLEET_SECRET/);
    assert.deepEqual(await lambda.list("dkim"), ["one.example"]);
  });

  test("a secret whose answer was lost was added", async () => {
    const { store, faults } = await opened((deps) => dynamoSecretStore({ ...deps, sealing }));
    faults.loseAnswer("PutItem");
    assert.equal(await store.add("dkim-domain", "one.example/s", "key"), true);
    assert.equal(await store.add("dkim-domain", "one.example/s", "key"), false);
  });

  test("a removal whose answer was lost was a removal", async () => {
    const { store, faults } = await opened((deps) => dynamoSecretStore({ ...deps, sealing }));
    await store.put("account", "anna", "hash");
    faults.loseAnswer("DeleteItem");
    assert.equal(await store.remove("account", "anna"), true);
    assert.equal(await store.remove("account", "anna"), false);
  });
});
