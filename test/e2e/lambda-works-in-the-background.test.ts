/** The Lambdas that nobody calls by HTTP, as bundles on the local AWS: bounces reported from the table's stream, sweep, dead letters. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addApiKey } from "#shared/app/api-keys.ts";
import { classify } from "#shared/domain/bounce-class.ts";
import { settler } from "#shared/app/settle.ts";
import type { AwsBackend } from "#shared/aws/open.ts";
import { openAws } from "#shared/aws/open.ts";
import { parseMessageId } from "#shared/domain/ids.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { NO_ROUTE } from "#shared/domain/outcome.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Zone, ZoneName } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { takeRequest } from "../support/backend.ts";
import type { LambdaApi } from "../support/lambda-api.ts";
import { startLambdaApi } from "../support/lambda-api.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { silentObserver } from "../support/silent-observer.ts";
import { newestRecord } from "../support/stream-events.ts";

const config = parseConfig({ hostname: "mail.example" }, { source: null, baseDir: "/" });

const skip = noLocalAws();
stopLocalAwsAtEnd();

describe("Lambdas in the background", { skip }, () => {
  let lambdas: LambdaApi;
  let backend: AwsBackend;
  let authorization: string;
  before(async () => {
    lambdas = await startLambdaApi(config);
    const { clients } = await sharedLocalAws();
    const zones = [...config.zones.keys()];
    backend = await openAws({ clients, names: lambdas.names, clock: systemClock, zones });
    const { key } = await addApiKey(
      { secrets: backend.secrets, clock: systemClock, random: randomBytes },
      { scopes: ["admin"], label: "" },
    );
    authorization = `Bearer ${key}`;
  });
  after(async () => {
    await backend?.close();
    await lambdas?.[Symbol.asyncDispose]();
  });

  async function ask(method: string, path: string, body?: object) {
    const headers = { authorization, "content-type": "application/json" };
    const asked = body === undefined ? {} : { body: JSON.stringify(body) };
    const { status, json, text } = await lambdas.ask({ method, path, headers, ...asked });
    assert.equal(status, 200, text);
    return json;
  }

  async function streamRecord(id: MessageId): Promise<object> {
    return newestRecord((await sharedLocalAws()).clients, lambdas.names.table, id);
  }

  test("a bounce in the stream is reported to the sender, once, however often it is read and whatever lies before it", async () => {
    const sent = await ask("POST", "/send", { from: "anna@example.com", to: "gone@example.net", text: "x" });
    const zone = config.zones.get("default" as ZoneName) as Zone;
    const accepted = await streamRecord(parseMessageId(sent.id) as MessageId);
    assert.deepEqual(await lambdas.invoke("events", { Records: [accepted] }), { batchItemFailures: [] });
    const request = takeRequest({ zone: zone.name, waitMs: 10 * SECOND });
    const [taken] = await backend.queue.take(request);
    assert.ok(taken);
    const settle = settler({
      ...backend,
      config,
      clock: systemClock,
      random: () => 0,
      observer: silentObserver,
      classify,
      slowDown: async () => undefined,
    });
    await settle({
      zone,
      site: "mx.example.net",
      startedAt: systemClock.now(),
      leases: taken.leases,
      outcomes: taken.leases.map(() => ({
        kind: "bounced" as const,
        cause: "reply" as const,
        reply: { code: 550, enhanced: "5.1.1", text: "no such user" },
        detail: "",
        status: "5.1.1",
        route: NO_ROUTE,
      })),
      otherEgress: false,
    });
    const id = parseMessageId(sent.id) as MessageId;
    const stored = await backend.queue.get(id);
    assert.equal(stored?.rows[0]?.state, "bounced");

    const unreadable = { dynamodb: { SequenceNumber: "0", Keys: {}, NewImage: { k: { S: "B" } } } };
    const event = { Records: [unreadable, await streamRecord(id)] };
    for (let time = 0; time < 2; time++) {
      assert.deepEqual(await lambdas.invoke("events", event), { batchItemFailures: [] });
    }
    const { list } = await ask("GET", "/queued/active/bounces");
    assert.deepEqual(
      list.map(({ recipient }: { recipient: string }) => recipient),
      ["anna@example.com"],
    );
    const { meta } = await ask("GET", `/message/${list[0].id}`);
    assert.deepEqual([meta.purpose, meta.from], ["dsn", ""]);
  });

  test("the sweep runs to its end and says what it did", async () => {
    const swept = await lambdas.invoke("sweep", {});
    assert.deepEqual(Object.keys(swept as object).toSorted(), ["fed", "lapsed", "purged"]);
  });

  test("a dead letter is read, whatever is in it", async () => {
    const { id } = await ask("POST", "/send", { from: "anna@example.com", to: "ben@example.net" });
    const signal = JSON.stringify({ m: id, d: "example.net", u: 0, q: [1] });
    const Records = [signal, "nonsense"].map((body, i) => ({
      messageId: `${i}`,
      body,
      eventSourceARN: "arn:aws:sqs:us-east-1:1:zonefleet-default-dead",
    }));
    assert.deepEqual(await lambdas.invoke("dead-letter", { Records }), { batchItemFailures: [] });
  });

  test("a request that comes many times at once, with one Idempotency-Key, sends one mail", async () => {
    const body = JSON.stringify({ from: "anna@example.com", to: "carl@example.net" });
    const headers = { authorization, "content-type": "application/json", "idempotency-key": "race" };
    const asked = Array.from({ length: 5 }, () =>
      lambdas.ask({ method: "POST", path: "/send", headers, body }),
    );
    const answers = await Promise.all(asked);
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    const { list } = await ask("GET", "/queued/active/default");
    const rows = list.filter(({ recipient }: { recipient: string }) => recipient === "carl@example.net");
    assert.equal(rows.length, 1);
  });
});
