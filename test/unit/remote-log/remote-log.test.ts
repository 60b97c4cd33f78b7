/** What a log server of ZoneMTA's hears from us: real datagrams, read by a reader of its own. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Observer } from "#shared/app/observer.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { openDatagrams } from "../../../sender/remote-log/datagrams.ts";
import { remoteLog } from "../../../sender/remote-log/remote-log.ts";
import { attempt, message, queueRow } from "../../support/builders.ts";
import { readMsgpack } from "../../support/read-msgpack.ts";
import { startUdpReceiver } from "../../support/udp-receiver.ts";

type Entry = Record<string, unknown>;

async function heard(tell: (log: Observer) => void, count: number): Promise<Entry[]> {
  await using server = await startUdpReceiver();
  const onDropped = (_: number, error: Error): never => assert.fail(error);
  const target = { protocol: "udp4", host: "127.0.0.1", port: server.port } as const;
  const datagrams = openDatagrams(target, { clock: systemClock, onDropped });
  tell(remoteLog(datagrams));
  const entries = (await server.reached(count)).map((bytes) => readMsgpack(bytes) as Entry);
  datagrams.close();
  assert.equal(entries.length, count);
  assert.equal(server.sources.size, 1, "all come from one socket");
  return entries;
}

const only = async (tell: (log: Observer) => void): Promise<Entry> => (await heard(tell, 1))[0] as Entry;
const mail = message({ recipientCount: 2 });
const row = queueRow(mail, 1);

describe("the remote log tells", () => {
  test("QUEUED of a message, with who sent what to whom", async () => {
    const entry = await only((log) => log.accepted(mail, [row, queueRow(mail, 2)], 3));
    assert.equal(entry["action"], "QUEUED");
    assert.equal(entry["id"], mail.id);
    assert.equal(entry["seq"], undefined);
    assert.equal(entry["from"], mail.returnPath);
    assert.equal(entry["to"], `${row.recipient},${queueRow(mail, 2).recipient}`);
    assert.equal(entry["message-id"], mail.messageIdHeader);
    assert.equal(entry["interface"], mail.origin.interface);
    assert.equal(entry["transtype"], mail.origin.protocol);
    assert.equal(entry["body"], mail.body.bytes - mail.body.headerBytes);
    assert.ok(!Object.values(entry).includes(null), "what is not known is left out");
  });

  test("QUEUED, and DROP of each recipient that is suppressed", async () => {
    const entries = await heard(
      (log) => log.accepted(mail, [row, queueRow(mail, 2, { state: "suppressed" })], 3),
      2,
    );
    assert.deepEqual(
      entries.map(({ action, seq }) => [action, seq]),
      [
        ["QUEUED", undefined],
        ["DROP", "002"],
      ],
    );
    assert.equal(entries[1]?.["reason"], "Recipient was found from suppression list");
  });

  test("NOQUEUE of what was not taken, and nothing of our own trouble but that", async () => {
    const refused = await only((log) =>
      log.notAccepted(new DomainError("no-recipients", "too many hops"), mail.origin),
    );
    assert.deepEqual(
      [refused["action"], refused["error"], refused["id"]],
      ["NOQUEUE", "too many hops", undefined],
    );
    assert.equal(refused["interface"], mail.origin.interface);
    const fault = await only((log) => log.notAccepted(new Error("/var/lib/zonefleet/store.mdb is gone")));
    assert.equal(fault["error"], "could not be stored");
  });

  test("ACCEPTED of a delivery, with the peer's answer and the addresses", async () => {
    const tried = attempt();
    const entry = await only((log) => log.settled(row, tried, { state: "delivered" }, mail));
    const wanted = { action: "ACCEPTED", id: mail.id, seq: "001", zone: row.zone, to: row.recipient };
    assert.deepEqual(Object.fromEntries(Object.keys(wanted).map((name) => [name, entry[name]])), wanted);
    assert.equal(entry["returnPath"], mail.returnPath);
    assert.equal(entry["size"], mail.body.bytes);
    assert.equal(entry["timer"], tried.durationMs);
    assert.equal(entry["start"], tried.at - tried.durationMs);
    assert.equal(entry["mx"], tried.route.mx ?? row.domain);
    assert.ok(String(entry["response"]).length > 0);
  });

  test("DEFERRED with category, count and the time of the next attempt", async () => {
    const tried = attempt({ kind: "deferred", category: "greylist" });
    const dueAt = 1_767_323_045_000 as EpochMs;
    const entry = await only((log) => log.settled(row, tried, { state: "deferred", dueAt }, mail));
    assert.deepEqual(
      [entry["action"], entry["category"], entry["defcount"], entry["nextattempt"]],
      ["DEFERRED", "greylist", 1, dueAt],
    );
  });

  for (const state of ["bounced", "expired"] as const) {
    test(`REJECTED of a recipient that ends ${state}`, async () => {
      const tried = attempt({ kind: "bounced", category: "recipient" });
      const entry = await only((log) => log.settled(row, tried, { state }, mail));
      assert.deepEqual([entry["action"], entry["category"]], ["REJECTED", "recipient"]);
    });
  }

  test("QUEUE_BOUNCE with the message that it is of, and DELETED of what an operator took out", async () => {
    const report = message();
    const bounce = await only((log) => log.bounceSent(report, mail.id));
    assert.deepEqual(
      [bounce["action"], bounce["id"], bounce["bounceId"], bounce["queued"]],
      ["QUEUE_BOUNCE", mail.id, report.id, "yes"],
    );
    const deleted = await only((log) => log.deleted?.([row.id]));
    assert.deepEqual([deleted["action"], deleted["id"], deleted["seq"]], ["DELETED", mail.id, "001"]);
  });

  test("of a message to thousands in one datagram", async () => {
    const rows = Array.from({ length: 5_000 }, (_, i) => queueRow(mail, i + 1));
    const entry = await only((log) => log.accepted(mail, rows, 3));
    assert.ok(String(entry["to"]).startsWith(rows[0]?.recipient ?? "?"));
  });
});

describe("a log server that cannot be reached", () => {
  test("costs datagrams, is told of once a minute, and throws nothing", async () => {
    const told: number[] = [];
    let now = 0;
    const clock = { now: () => now as EpochMs };
    const target = { protocol: "udp4", host: "no-such-host.invalid", port: 9 } as const;
    await new Promise<void>((resolve) => {
      const datagrams = openDatagrams(target, {
        clock,
        onDropped(count) {
          told.push(count);
          if (told.length === 1) {
            now += 30_000; // half a minute on: counted, not told
            for (let i = 0; i < 5; i++) datagrams.send(Buffer.from("x"));
            setImmediate(() => {
              now += 3_600_000;
              datagrams.send(Buffer.from("y"));
            });
          } else if (told.length === 2) {
            datagrams.close();
            resolve();
          }
        },
      });
      datagrams.send(Buffer.from("x"));
    });
    assert.equal(told[0], 1);
    assert.ok((told[1] ?? 0) >= 1);
  });

  test("never has more than a thousand datagrams wait", () => {
    let dropped = 0;
    const clock = { now: () => (dropped * 3_600_000) as EpochMs }; // so that each is told of
    const target = { protocol: "udp4", host: "no-such-host.invalid", port: 9 } as const;
    const datagrams = openDatagrams(target, { clock, onDropped: (count) => void (dropped += count) });
    for (let i = 0; i < 1_100; i++) datagrams.send(Buffer.from("x"));
    datagrams.close();
    assert.equal(dropped, 100);
  });
});
