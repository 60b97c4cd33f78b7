import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";

import type { EventReceiver } from "#shared/domain/config.ts";
import { EVENT_TYPES } from "#shared/domain/event.ts";
import type { EventNotice } from "#shared/domain/notification.ts";
import { NO_ROUTE, outcomeOfReply } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import { HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import { FIRST_RETRY_MS, MAX_EVENTS_PER_POST, MAX_RETRY_MS, runNotifier } from "#shared/app/notify.ts";
import type { Post, PostAnswer, PostRequest, Trouble } from "#shared/app/notify.ts";
import type { App } from "../../support/app.ts";
import { openApp, submission } from "../../support/app.ts";
import { address, anna, ben } from "../../support/builders.ts";

const webhook: EventReceiver = { url: "http://one.test/", format: "json", types: EVENT_TYPES, secret: null };
const form: EventReceiver = { ...webhook, format: "form", types: ["bounce", "expiry", "suppression"] };
const ok: PostAnswer = { kind: "answered", status: 200 };

const refused = outcomeOfReply(smtpReply(550, ["5.1.1 no such user"]), NO_ROUTE);
const busy = outcomeOfReply(smtpReply(451, ["4.3.0 busy"]), NO_ROUTE);

/** Notifiers on an app's log, with a receiver that is a function. */
function start(
  app: App,
  receiver: EventReceiver,
  answer: (request: PostRequest) => PostAnswer,
  worker = anna,
) {
  const stop = new AbortController();
  const requests: PostRequest[] = [];
  const troubles: Trouble[] = [];
  const errors: unknown[] = [];
  let givenUp = 0;
  notifiers.set(app, (notifiers.get(app) ?? 0) + 1);
  const post: Post = async (request) => {
    requests.push(request);
    return answer(request);
  };
  const running = runNotifier(
    receiver,
    {
      events: app.backend.events,
      configs: app.backend.configs,
      queue: app.backend.queue,
      worker,
      clock: app.clock,
      post,
      onTrouble: (trouble) => troubles.push(trouble),
      onGivenUp: (_, events) => (givenUp += events),
      onError: (error) => errors.push(error),
    },
    stop.signal,
  );
  const events = (): EventNotice[] =>
    requests.flatMap(({ body }) => (JSON.parse(body) as { events: EventNotice[] }).events);
  return {
    requests,
    troubles,
    errors,
    events,
    get givenUp() {
      return givenUp;
    },
    async end() {
      notifiers.set(app, (notifiers.get(app) ?? 0) - 1);
      stop.abort();
      await running;
    },
  };
}

/** Notifiers that run on an app: each sleeps when it has nothing to do. */
const notifiers = new WeakMap<App, number>();

/** Let time pass in small steps; after each, all notifiers come to rest. */
async function pass(app: App, ms: number, stepMs = Math.max(SECOND / 2, ms / 40)): Promise<void> {
  await rest(app);
  for (let passed = 0; passed < ms; passed += stepMs) {
    await app.clock.advance(stepMs);
    await rest(app);
  }
}

const MAX_TURNS = 1_000_000;

async function rest(app: App): Promise<void> {
  for (let turn = 0; app.clock.sleepers < (notifiers.get(app) ?? 0); turn++) {
    assert.ok(turn < MAX_TURNS, "a notifier does not come to rest");
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

async function bounce(app: App, ...recipients: string[]): Promise<void> {
  await app.submit(submission({ recipients: recipients.map(address) }));
  await app.settleAll(await app.take(), refused);
}

describe("a webhook", () => {
  test("is told of every outcome in order, many in one request", async () => {
    await using app = await openApp();
    const told = start(app, webhook, () => ok);
    await pass(app, SECOND);
    await app.submit(submission({ recipients: [address("a@one.example")] }));
    await app.settleAll(await app.take(), busy);
    await app.clock.advance(6 * MINUTE);
    await app.settleAll(await app.take(), refused);
    await pass(app, 2 * SECOND);
    await told.end();
    const types = told.events().map(({ type, to, action }) => `${type} ${to} ${action}`);
    assert.deepEqual(types, [
      "reception null null",
      "deferral a@one.example defer",
      "bounce a@one.example reject",
    ]);
    const last = told.events().at(-1);
    assert.equal(last?.from, "sender@sender.example");
    assert.equal(last?.seq, "001");
    assert.deepEqual([last?.code, last?.status, last?.category], [550, "5.1.1", "recipient"]);
    assert.equal(last?.response, "550 5.1.1 no such user");
    assert.equal(new Set(told.events().map(({ id }) => id)).size, 3);
    assert.deepEqual(told.errors, []);
  });

  test("is told of the types it asked for, and signed requests can be verified", async () => {
    await using app = await openApp();
    const told = start(app, { ...webhook, types: ["bounce"], secret: "hush" }, () => ok);
    await pass(app, SECOND);
    await bounce(app, "a@one.example", "b@one.example");
    await pass(app, 2 * SECOND);
    await told.end();
    assert.deepEqual(
      told.events().map(({ type }) => type),
      ["bounce", "bounce"],
    );
    const [request] = told.requests;
    const [, seconds = "", hex] =
      /^t=(\d+),v1=([0-9a-f]{64})$/.exec(request?.headers["x-zonefleet-signature"] ?? "") ?? [];
    assert.equal(createHmac("sha256", "hush").update(`${seconds}.${request?.body}`).digest("hex"), hex);
    assert.ok(Math.abs(Number(seconds) * 1_000 - app.clock.now()) < MINUTE);
  });

  test("that fails is told again, later each time, and then of all in the old order", async () => {
    await using app = await openApp();
    let broken = true;
    const told = start(app, { ...webhook, types: ["bounce"] }, () =>
      broken ? { kind: "answered", status: 503 } : ok,
    );
    await pass(app, SECOND);
    await bounce(app, "a@one.example");
    await pass(app, 20 * SECOND);
    await bounce(app, "b@one.example");
    await pass(app, 20 * SECOND);
    const waits = told.troubles.map(({ failures, retryAt }, i) => [failures, i, retryAt] as const);
    assert.deepEqual(
      waits.map(([failures]) => failures),
      waits.map(([, i]) => i + 1),
    );
    assert.equal(told.troubles[0]?.detail, "it answered 503");
    assert.ok(told.requests.length < 8, "it is not hammered");
    broken = false;
    await pass(app, MINUTE);
    await told.end();
    const taken = told.requests
      .slice(told.troubles.length)
      .flatMap(({ body }) => (JSON.parse(body) as { events: EventNotice[] }).events);
    assert.deepEqual(
      taken.map(({ to }) => to),
      ["a@one.example", "b@one.example"],
    );
  });

  test("waits twice as long after each failure, up to a bound", async () => {
    await using app = await openApp();
    const told = start(app, { ...webhook, types: ["bounce"] }, () => ({
      kind: "failed",
      detail: "ECONNREFUSED",
    }));
    await pass(app, SECOND);
    await bounce(app, "a@one.example");
    const seen: number[] = [];
    await pass(app, HOUR, 10 * SECOND);
    for (const { failures } of told.troubles)
      seen.push(Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), MAX_RETRY_MS));
    await told.end();
    const sum = seen.reduce((total, wait) => total + wait, 0);
    assert.ok(sum >= HOUR - MAX_RETRY_MS && sum <= HOUR + MAX_RETRY_MS, `${seen.length} tries in an hour`);
  });

  test("that answers with a redirect, or not at all, has not taken it", async () => {
    for (const answer of [
      { kind: "answered", status: 302 },
      { kind: "failed", detail: "it did not answer in time" },
    ] as const) {
      await using app = await openApp();
      const told = start(app, { ...webhook, types: ["bounce"] }, () => answer);
      await pass(app, SECOND);
      await bounce(app, "a@one.example");
      await pass(app, 3 * SECOND);
      await told.end();
      assert.ok(told.troubles.length > 0);
    }
  });

  test("that is dead for more than a day loses what is older, which is said, and gets the rest", async () => {
    await using app = await openApp();
    let broken = true;
    const told = start(app, { ...webhook, types: ["bounce"] }, () =>
      broken ? { kind: "failed", detail: "x" } : ok,
    );
    await pass(app, SECOND);
    await bounce(app, "old@one.example", "older@one.example");
    await pass(app, 20 * HOUR, 30 * MINUTE);
    await bounce(app, "new@one.example");
    await pass(app, 5 * HOUR, 10 * MINUTE);
    assert.equal(told.givenUp, 2);
    const failed = told.requests.length;
    broken = false;
    await pass(app, 10 * MINUTE, MINUTE);
    await told.end();
    const taken = told.requests
      .slice(failed)
      .flatMap(({ body }) => (JSON.parse(body) as { events: EventNotice[] }).events);
    assert.deepEqual(
      taken.map(({ to }) => to),
      ["new@one.example"],
    );
  });

  test("is told of what is old when it was we who were down", async () => {
    await using app = await openApp();
    const first = start(app, { ...webhook, types: ["bounce"] }, () => ok);
    await pass(app, SECOND);
    await first.end();
    await bounce(app, "a@one.example");
    await app.clock.advance(48 * HOUR);
    const second = start(app, { ...webhook, types: ["bounce"] }, () => ok);
    await pass(app, 2 * SECOND);
    await second.end();
    assert.deepEqual(
      second.events().map(({ to }) => to),
      ["a@one.example"],
    );
  });

  test("that is new does not hear of what was before it", async () => {
    await using app = await openApp();
    await bounce(app, "before@one.example");
    await app.clock.advance(MINUTE);
    const told = start(app, { ...webhook, types: ["bounce"] }, () => ok);
    await pass(app, SECOND);
    await bounce(app, "after@one.example");
    await pass(app, SECOND);
    await told.end();
    assert.deepEqual(
      told.events().map(({ to }) => to),
      ["after@one.example"],
    );
  });

  test("is served by one worker at a time, and by the next when that one is gone", async () => {
    await using app = await openApp();
    const one = start(app, { ...webhook, types: ["bounce"] }, () => ok, anna);
    await pass(app, SECOND);
    const other = start(app, { ...webhook, types: ["bounce"] }, () => ok, ben);
    await bounce(app, "a@one.example");
    await pass(app, 10 * SECOND);
    assert.deepEqual([one.events().length, other.events().length], [1, 0]);
    await one.end();
    await app.backend.events.dropReader(anna);
    await bounce(app, "b@one.example");
    await pass(app, 10 * SECOND);
    await other.end();
    assert.deepEqual(
      other.events().map(({ to }) => to),
      ["b@one.example"],
    );
  });

  test("gets no more than so many events in one request", async () => {
    await using app = await openApp();
    const told = start(app, { ...webhook, types: ["bounce"] }, () => ok);
    await pass(app, SECOND);
    const count = MAX_EVENTS_PER_POST + 5;
    await bounce(app, ...Array.from({ length: count }, (_, i) => `r${i}@one.example`));
    await pass(app, 3 * SECOND);
    await told.end();
    assert.deepEqual(
      told.requests.map(({ body }) => (JSON.parse(body) as { events: unknown[] }).events.length),
      [MAX_EVENTS_PER_POST, 5],
    );
  });
});

describe("the HTTP bounce of ZoneMTA", () => {
  test("is a form for each bounce, with ZoneMTA's fields and the action", async () => {
    await using app = await openApp();
    const told = start(app, form, () => ok);
    await pass(app, SECOND);
    const at = app.clock.now();
    const { messageId } = await app.submit(
      submission({
        recipients: [address("a@one.example"), address("b@one.example")],
        text: "X-Fbl: campaign-7\r\nSubject: hello\r\n\r\nhello\r\n",
      }),
    );
    await app.settleAll(await app.take(), refused);
    await pass(app, 2 * SECOND);
    await told.end();
    assert.equal(told.requests.length, 2);
    assert.equal(told.requests[1]?.headers["content-type"], "application/x-www-form-urlencoded");
    assert.deepEqual(Object.fromEntries(new URLSearchParams(told.requests[1]?.body)), {
      id: messageId,
      sessionId: "",
      to: "b@one.example",
      seq: "002",
      returnPath: "sender@sender.example",
      category: "recipient",
      time: String(at),
      response: "550 5.1.1 no such user",
      fbl: "campaign-7",
      action: "reject",
    });
  });

  test("tells of a suppressed recipient, too, and of none that is only late", async () => {
    await using app = await openApp();
    await app.backend.suppressions.add({ address: address("gone@one.example"), reason: null });
    const told = start(app, form, () => ok);
    await pass(app, SECOND);
    await app.submit(submission({ recipients: [address("gone@one.example"), address("late@one.example")] }));
    await app.settleAll(await app.take(), busy);
    await pass(app, 2 * SECOND);
    await told.end();
    const forms = told.requests.map(({ body }) => Object.fromEntries(new URLSearchParams(body)));
    assert.deepEqual(
      forms.map(({ to, category, action }) => [to, category, action]),
      [["gone@one.example", "suppressed", "reject"]],
    );
  });
});
