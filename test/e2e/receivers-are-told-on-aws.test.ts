/** Webhooks and the HTTP bounce on the local AWS: the Lambdas as they are deployed, at the stream of a real table. */

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";

import type { DynamoDBBatchResponse } from "aws-lambda";

import { addApiKey } from "#shared/app/api-keys.ts";
import { settler } from "#shared/app/settle.ts";
import { endpointsOf } from "#shared/aws/clients.ts";
import type { AwsBackend } from "#shared/aws/open.ts";
import { openAws } from "#shared/aws/open.ts";
import { classify } from "#shared/domain/bounce-class.ts";
import { NO_ROUTE, outcomeOfReply } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { Zone, ZoneName } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { isForReader, STREAM_READERS } from "#shared/aws/stream-readers.ts";
import type { StreamReader } from "#shared/aws/stream-readers.ts";
import { readTableStream } from "../../sender/aws-local/table-stream.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { takeRequest } from "../support/backend.ts";
import type { TestReceiver } from "../support/event-receiver.ts";
import { startReceiver } from "../support/event-receiver.ts";
import type { LambdaApi } from "../support/lambda-api.ts";
import { startLambdaApi } from "../support/lambda-api.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { patient } from "../support/patience.ts";
import { silentObserver } from "../support/silent-observer.ts";

/** One request to the silent receiver may hold up the stream before it is known to be silent. */
const PATIENCE_MS = patient(30 * SECOND);
const refused = outcomeOfReply(smtpReply(550, ["5.1.1 no such user"]), NO_ROUTE);

stopLocalAwsAtEnd();

describe("receivers of events on AWS", { skip: noLocalAws(), timeout: 6 * PATIENCE_MS }, () => {
  const cleanup = new AsyncDisposableStack();
  const stop = new AbortController();
  const readers: Promise<void>[] = [];
  let good: TestReceiver;
  let silent: TestReceiver;
  let failing: TestReceiver;
  let bounces: TestReceiver;
  let lambdas: LambdaApi;
  let backend: AwsBackend;
  let zone: Zone;
  let settle: ReturnType<typeof settler>;
  let authorization: string;

  before(async () => {
    cleanup.defer(async () => void (await Promise.all(readers)));
    [good, silent, failing, bounces] = await Promise.all([
      startReceiver(),
      startReceiver(),
      startReceiver(),
      startReceiver(),
    ]);
    for (const receiver of [good, failing, bounces]) cleanup.use(receiver);
    cleanup.defer(() => stop.abort());
    silent.answer = () => null;
    failing.answer = () => 503;
    const config = parseConfig(
      {
        hostname: "mail.example",
        webhooks: [{ url: silent.url }, { url: failing.url }, { url: good.url, secret: "hush" }],
        plugins: { "core/http-bounce": { enabled: "main", url: bounces.url } },
      },
      { source: null, baseDir: "/" },
    );
    zone = config.zones.get("default" as ZoneName) as Zone;
    lambdas = cleanup.use(await startLambdaApi(config, { stream: true }));
    const { clients } = await sharedLocalAws();
    const zones = [...config.zones.keys()];
    backend = await openAws({ clients, names: lambdas.names, clock: systemClock, zones });
    cleanup.defer(() => backend.close());
    const { key } = await addApiKey(
      { secrets: backend.secrets, clock: systemClock, random: randomBytes },
      { scopes: ["admin"], label: "" },
    );
    authorization = `Bearer ${key}`;
    settle = settler({
      ...backend,
      config,
      clock: systemClock,
      random: () => 0,
      observer: silentObserver,
      classify,
      slowDown: async () => undefined,
    });
    readers.push(reads("events"), reads("notify"));
  });
  after(() => cleanup.disposeAsync());

  function reads(name: StreamReader): Promise<void> {
    return readTableStream({
      batchSize: STREAM_READERS[name].batchSize,
      isWanted: (record) => isForReader(STREAM_READERS[name], record),
      endpoint: endpointsOf(lambdas.env).dynamo ?? "",
      env: lambdas.env,
      table: lambdas.names.table,
      clock: systemClock,
      stop: stop.signal,
      async consume(Records) {
        const answer = (await lambdas.invoke(name, { Records })) as DynamoDBBatchResponse;
        return answer.batchItemFailures[0]?.itemIdentifier ?? null;
      },
      onError: (error) => assert.fail(error as Error),
    });
  }

  async function ask(method: string, path: string, body?: object) {
    const headers = { authorization, "content-type": "application/json" };
    const asked = body === undefined ? {} : { body: JSON.stringify(body) };
    const { status, json, text } = await lambdas.ask({ method, path, headers, ...asked });
    assert.equal(status, 200, text);
    return json;
  }

  /** Sends a mail that its recipient's server refuses. Resolves with its id. */
  async function bounce(to: string): Promise<string> {
    const { id } = await ask("POST", "/send", { from: "anna@example.com", to, text: "x" });
    const [taken] = await backend.queue.take(takeRequest({ zone: zone.name, waitMs: PATIENCE_MS }));
    assert.ok(taken);
    const { leases } = taken;
    const outcomes = leases.map(() => refused);
    await settle({ zone, site: "mx", startedAt: systemClock.now(), leases, outcomes, otherEgress: false });
    return id;
  }

  async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const giveUpAt = systemClock.now() + PATIENCE_MS;
    while (!(await isSo())) {
      assert.ok(systemClock.now() < giveUpAt, what);
      await systemClock.sleep(SECOND / 20);
    }
  }

  const toldOf = ({ taken }: TestReceiver, id: string): string =>
    taken
      .filter(({ messageId }) => messageId === id)
      .map(({ type }) => type)
      .join(" ");

  test("are told in order, signed, while another is silent; and the sender gets his report meanwhile", async () => {
    const id = await bounce("gone@example.net");
    await until("the webhook was not told", () => toldOf(good, id).includes("bounce"));
    assert.equal(toldOf(good, id), "reception bounce");
    await bounces.waitFor(1);
    const form = new URLSearchParams(bounces.posts[0]?.body);
    assert.deepEqual(
      [form.get("id"), form.get("to"), form.get("action")],
      [id, "gone@example.net", "reject"],
    );
    await until(
      "no report was made",
      async () => (await ask("GET", "/queued/active/bounces")).list.length === 1,
    );
    await silent.waitFor(1);
    assert.deepEqual(silent.taken, []);
    await silent[Symbol.asyncDispose](); // and gone for good
    const [post] = good.posts;
    const [, seconds = "", given] =
      /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(post?.headers["x-zonefleet-signature"])) ?? [];
    assert.equal(given, createHmac("sha256", "hush").update(`${seconds}.${post?.body}`).digest("hex"));
  });

  test("that failed are told on the schedule, in order, when they are well again", async () => {
    await failing.waitFor(1);
    const id = await bounce("gone2@example.net");
    await until("the webhook was not told", () => toldOf(good, id).includes("bounce"));
    assert.deepEqual(failing.taken, []);
    failing.answer = () => 200;
    await until("the schedule told nothing", async () => {
      await lambdas.invoke("notify-again", {});
      return toldOf(failing, id).includes("bounce");
    });
    assert.deepEqual(
      failing.taken.map(({ id: event }) => event),
      good.taken.slice(0, failing.taken.length).map(({ id: event }) => event),
    );
  });
});
