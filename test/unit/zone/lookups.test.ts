import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseDomain } from "#shared/domain/address.ts";
import type { Domain } from "#shared/domain/address.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Taken } from "#shared/ports/queue-store.ts";

import { lookups } from "../../../sender/zone/lookups.ts";
import { address, anna, message, queueRow } from "../../support/builders.ts";

function taken(domain: string, rows: number): Taken {
  const mail = message();
  const leases = Array.from({ length: rows }, (_, i) => ({
    row: queueRow(mail, i + 1, { recipient: address(`r${i}@${domain}`) }),
    token: 1,
    worker: anna,
    until: 0 as EpochMs,
  }));
  return { message: mail, domain: parseDomain(domain) as Domain, leases };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("lookups", () => {
  test("a domain with many rows waiting is crowded until some are gone on, and no other is", async () => {
    const looking = lookups();
    let told = 0;
    looking.onRoom(() => told++);
    const slow = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    for (const { promise } of slow) looking.add(taken("slow.example", 50), promise);
    looking.add(taken("other.example", 50), new Promise(() => undefined));
    assert.deepEqual([...looking.crowded()], ["slow.example"]);
    slow[0]?.resolve();
    await turn();
    assert.deepEqual([looking.crowded().size, told], [0, 1]);
    slow[1]?.resolve();
    await turn();
    assert.equal(told, 1, "there was room already");
  });

  test("are finished when every way is found", async () => {
    const looking = lookups();
    const { promise, resolve } = Promise.withResolvers<void>();
    looking.add(taken("one.example", 1), promise);
    let finished = false;
    void looking.finished().then(() => (finished = true));
    await turn();
    assert.equal(finished, false);
    resolve();
    await turn();
    assert.equal(finished, true);
  });
});
