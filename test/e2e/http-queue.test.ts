/** The routes by which an operator sees and changes the queue, over a real socket and a real store. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import type { WorkerId } from "#shared/domain/ids.ts";
import { NO_ROUTE } from "#shared/domain/outcome.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { Settlement } from "#shared/ports/queue-store.ts";
import { attempt } from "../support/builders.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";

const UNKNOWN = "01m7xkq4pgfjhbd0jf9g3bxxt5";
const worker = "tester" as WorkerId;

let api: ApiHarness;
before(async () => {
  api = await startApi({ config: { zones: { news: { pool: "default" } }, pools: { default: ["0.0.0.0"] } } });
});
after(() => api[Symbol.asyncDispose]());

async function send(to: string, more: object = {}): Promise<string> {
  const { json } = await api.ask("POST", "/send", {
    body: { from: "anna@example.com", to, text: "hi", ...more },
  });
  assert.ok(json.id, JSON.stringify(json));
  return json.id;
}

/** Lease the rows of one domain and settle them. */
async function settle(
  domain: string,
  settled: Settlement["settled"],
  record: Parameters<typeof attempt>[0],
): Promise<void> {
  const others = new Set(
    (
      await api.backend.queue.list({
        zone: null,
        states: ["queued"],
        order: "oldest-first",
        limit: 1_000,
        cursor: null,
      })
    ).rows.map((row) => row.domain),
  );
  others.delete(domain as Domain);
  const taken = await api.backend.queue.take({
    zone: "default" as ZoneName,
    worker,
    max: 100,
    maxPerDomain: 100,
    avoid: others,
    leaseMs: 60_000,
    waitMs: 0,
  });
  const leases = taken.flatMap((one) => one.leases);
  assert.ok(leases.length > 0, `nothing to lease for ${domain}`);
  const written = await api.backend.queue.settle(
    leases.map((lease) => ({ lease, settled, attempt: attempt(record) })),
  );
  assert.ok(written.every(Boolean));
}

const list = async (path: string) => {
  const { status, json } = await api.ask("GET", path);
  assert.equal(status, 200, JSON.stringify(json));
  return json;
};

describe("a message on its way", () => {
  test("shows what the peer said and when it is tried next, and takes send-now and drop", async () => {
    const id = await send("ben@deferred.example");
    const at = Date.now() as EpochMs;
    const next = (at + 300_000) as EpochMs;
    await settle(
      "deferred.example",
      { state: "deferred", dueAt: next },
      {
        at,
        kind: "deferred",
        cause: "reply",
        reply: { code: 451, enhanced: "4.7.1", text: "come back later" },
        status: "4.7.1",
        category: "greylist",
        route: { mx: "mx.deferred.example", peer: "192.0.2.1", egress: "192.0.2.2" },
      },
    );
    const { meta, messages } = await list(`/message/${id}`);
    assert.deepEqual(
      [meta.id, meta.from, meta.to, meta.interface, meta.transtype],
      [id, "anna@example.com", ["ben@deferred.example"], "api", "HTTP"],
    );
    assert.equal(meta.bodySize, 4);
    assert.deepEqual(meta.parsedEnvelope, {
      from: "anna@example.com",
      to: ["ben@deferred.example"],
      cc: [],
      bcc: [],
      replyTo: false,
      sender: false,
    });
    const from = meta.headers.find(({ key }: { key: string }) => key === "from");
    assert.deepEqual(from, { key: "from", line: "From: anna@example.com" });
    assert.equal(`Date: ${meta.date}`, meta.headers.find(({ key }: { key: string }) => key === "date").line);
    const [row] = messages;
    assert.deepEqual(
      [row.id, row.seq, row.zone, row.status, row.attempts],
      [id, "001", "default", "DEFERRED", 1],
    );
    assert.deepEqual(row.deferred, {
      first: row.deferred.first,
      last: at,
      next,
      count: 1,
      response: "451 4.7.1 come back later",
    });
    assert.deepEqual(
      [row.lastAttempt.category, row.lastAttempt.mx, row.lastAttempt.egress, row.next],
      ["greylist", "mx.deferred.example", "192.0.2.2", next],
    );
    const entry = (await list("/queued/deferred/default")).list.find((one: { id: string }) => one.id === id);
    assert.deepEqual(
      [entry.queued, entry.deferred, entry.recipient],
      [new Date(next).toISOString(), 1, "ben@deferred.example"],
    );
    assert.equal((await list("/counter/zone/default")).deferred.rows, 1);

    assert.deepEqual((await api.ask("PUT", `/message/${id}/001`)).json, {
      success: true,
      changed: 1,
      rows: [`${id}.001`],
    });
    const [again] = (await list(`/message/${id}`)).messages;
    assert.ok(again.next <= Date.now());
    assert.deepEqual((await api.ask("DELETE", `/message/${id}/`)).json, {
      success: true,
      changed: 1,
      rows: [`${id}.001`],
    });
    const [dropped] = (await list(`/message/${id}`)).messages;
    assert.deepEqual([dropped.status, "deferred" in dropped], ["DROPPED", false], "it waits for nothing");
    const conflict = await api.ask("PUT", `/message/${id}`);
    assert.deepEqual([conflict.status, conflict.json.code], [409, "conflict"]);
    assert.match(conflict.json.error, /dropped/);
  });

  test("is seen after its end too, and its content is 410 once it is not kept", async () => {
    const id = await send("ben@delivered.example, carl@delivered.example");
    await settle(
      "delivered.example",
      { state: "delivered" },
      { route: { ...NO_ROUTE, mx: "mx.delivered.example" } },
    );
    const { messages } = await list(`/message/${id}`);
    assert.deepEqual(
      messages.map(({ status }: { status: string }) => status),
      ["DELIVERED", "DELIVERED"],
    );
    assert.deepEqual([messages[0].next, messages[0].lastAttempt.response], [null, "250 2.0.0 ok"]);
    assert.ok(messages[0].finished > 0);
    const fetched = await api.ask("GET", `/fetch/${id}`);
    assert.deepEqual([fetched.status, fetched.json.code], [410, "gone"]);
    assert.match(fetched.json.error, /not kept/);
  });

  test("one recipient of several can be seen and changed alone, by seq with or without zeros", async () => {
    const id = await send("a@many.example, b@many.example, c@many.example");
    assert.deepEqual(
      (await list(`/message/${id}/2`)).messages.map((row: { seq: string }) => row.seq),
      ["002"],
    );
    assert.deepEqual((await api.ask("DELETE", `/message/${id}/002`)).json.rows, [`${id}.002`]);
    const left = (await list(`/message/${id.toUpperCase()}`)).messages.map(
      ({ status }: { status: string }) => status,
    );
    assert.deepEqual(left, ["QUEUED", "DROPPED", "QUEUED"]);
    assert.equal((await api.ask("DELETE", `/message/${id}`)).json.changed, 2);
  });

  test("is held and counted apart", async () => {
    const id = await send("ben@held.example");
    const rows = (
      await api.backend.queue.list({
        zone: null,
        states: ["queued"],
        order: "newest-first",
        limit: 1,
        cursor: null,
      })
    ).rows;
    await api.backend.queue.operate(
      "hold",
      rows.map((row) => row.id),
    );
    assert.deepEqual(
      (await list("/queued/held/")).list.map((row: { id: string }) => row.id),
      [id],
    );
    assert.equal((await list("/counter/zone")).held.rows, 1);
    assert.equal((await api.ask("PUT", `/message/${id}`)).status, 409, "send-now is not for held rows");
    assert.equal((await api.ask("DELETE", `/message/${id}`)).json.changed, 1);
  });

  for (const [method, path] of [
    ["GET", `/message/${UNKNOWN}`],
    ["PUT", `/message/${UNKNOWN}/`],
    ["DELETE", `/message/${UNKNOWN}/001`],
    ["GET", `/fetch/${UNKNOWN}`],
    ["GET", "/message/nonsense"],
    ["GET", "/fetch/..%2f..%2fetc%2fpasswd"],
  ] as const) {
    test(`${method} ${path} is 404 when there is no such message`, async () => {
      const { status, json } = await api.ask(method, path);
      assert.deepEqual(
        [status, json.code, json.error],
        [404, "not-found", "Selected message does not exist"],
      );
    });
  }

  test("a recipient that it does not have is 404", async () => {
    const id = await send("ben@example.net");
    for (const seq of ["002", "000", "zz", "-1"])
      assert.equal((await api.ask("GET", `/message/${id}/${seq}`)).status, 404, seq);
    await api.ask("DELETE", `/message/${id}`);
  });
});

describe("lists", () => {
  test("page by cursor in either order, without a row twice or left out", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 7; i++) ids.push(await send(`r${i}@paged.example`));
    for (const order of ["asc", "desc"]) {
      const seen: string[] = [];
      let cursor = "";
      do {
        const page = await list(
          `/queued/active/default?pageSize=3&order=${order}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
        );
        assert.ok(page.list.length <= 3);
        seen.push(...page.list.map((row: { id: string }) => row.id));
        cursor = page.cursor ?? "";
      } while (cursor);
      assert.deepEqual(seen, order === "asc" ? ids : ids.toReversed());
    }
    for (const id of ids) await api.ask("DELETE", `/message/${id}`);
  });

  test("ZoneMTA's parameters are taken where they can be, and an offset is refused with what to do instead", async () => {
    assert.equal(
      (await api.ask("GET", "/queued/active/default?sort=created&order=asc&start=0&pageSize=10")).status,
      200,
    );
    for (const path of [
      "/queued/queued/default", // anything but `deferred` is that in ZoneMTA
      "/queued/Active/default?sort=ID&order=ASC",
      "/queued/active/default?pageSize=1000000000",
    ]) {
      const answer = await api.ask("GET", path);
      assert.deepEqual([answer.status, answer.json.type], [200, "active"], answer.text);
    }
    const { status, json } = await api.ask("GET", "/queued/active/default?start=100");
    assert.deepEqual([status, json.path], [400, "start"]);
    assert.match(json.error, /cursor/);
  });

  for (const path of [
    "/queued/nonsense/default",
    "/queued/active/default?pageSize=0",
    "/queued/active/default?pageSize=many",
    "/queued/active/default?pageSize=1e3",
    "/queued/active/default?pagesize=5",
    "/queued/active/default?cursor=nonsense",
    "/queued/active/default?order=up",
    "/queued/active/a%00b",
    "/counter/zone/a%20b",
    "/suppressionlist?cursor=nonsense",
    "/events?after=-1",
    "/events?limit=5000",
    "/zones?includeDisabled=maybe",
    "/fetch/x?body=perhaps",
  ]) {
    test(`GET ${path} is 400 with the parameter that is wrong`, async () => {
      const { status, json } = await api.ask("GET", path);
      assert.equal(status, 400, JSON.stringify(json));
      assert.equal(json.code, "invalid-request");
      assert.ok(json.path, json.error);
    });
  }

  test("zones are listed by name, and counters name the zone that was asked for", async () => {
    const names = (await list("/zones")).map(({ name }: { name: string }) => name);
    assert.deepEqual(names, names.toSorted());
    assert.ok(names.includes("news"));
    assert.equal((await list("/counter/zone/NEWS")).zone, "news");
    assert.equal((await list("/counter/zone/")).zone, "all");
  });

  test("the blacklist shows which address a site refuses, and what it said", async () => {
    const now = Date.now() as EpochMs;
    const until = (now + 60_000) as EpochMs;
    await api.backend.limits.block({
      address: "192.0.2.9",
      site: "mx.example",
      until,
      createdAt: now,
      response: "550 blocked",
    });
    const { list: blocked } = await list("/blacklist");
    assert.deepEqual(
      blocked.map((entry: Record<string, string>) => [
        entry["address"],
        entry["domain"],
        entry["response"],
        entry["until"],
      ]),
      [["192.0.2.9", "mx.example", "550 blocked", new Date(until).toISOString()]],
    );
  });

  test("events come in order, and go on after the last one seen", async () => {
    const first = await list("/events?limit=2");
    assert.equal(first.events.length, 2);
    const rest = await list(`/events?after=${first.after}&limit=1000`);
    const numbers = [...first.events, ...rest.events].map(({ number }: { number: number }) => number);
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].toSorted((a, b) => a - b),
    );
    assert.equal(first.events[0].type, "reception");
    assert.deepEqual(await list(`/events?after=${rest.after}`), { events: [], after: rest.after });
  });
});
