import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { KeyedAnswer, KeyedRequest, SendOnce } from "#shared/app/idempotency.ts";
import { CLAIM_MS, KEEP_MS, rowsOf, sendOnce, WAIT_MS } from "#shared/app/idempotency.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { NO_ROUTE } from "#shared/domain/outcome.ts";
import type { Submitted } from "#shared/app/submission.ts";
import type { Backend } from "#shared/ports/backend.ts";
import { address } from "../../support/builders.ts";
import type { App } from "../../support/app.ts";
import { once as onceText, openApp, submission } from "../../support/app.ts";

interface Bench extends AsyncDisposable {
  readonly app: App;
  /** Answers that could not be written down. */
  readonly unwritten: MessageId[];
  readonly sendOnce: SendOnce;
  /** Ids under which mail was submitted, in order. */
  readonly worked: MessageId[];
  /** The way of a request with this body: stream or, with `facts`, known beforehand. */
  send(request?: Partial<KeyedRequest> & { text?: string }): Promise<KeyedAnswer>;
  work(text?: string): (id: MessageId, source: AsyncIterable<Buffer>) => Promise<Submitted>;
  messages(): number;
}

const MAIL = "Subject: hello\r\n\r\nhello\r\n";

async function bench(wrap: (backend: Backend) => Backend = (it) => it): Promise<Bench> {
  const app = await openApp({}, wrap);
  const unwritten: MessageId[] = [];
  const worked: MessageId[] = [];
  const once = sendOnce({
    store: app.backend.idempotency,
    queue: app.backend.queue,
    clock: app.clock,
    onUnwritten: (id) => void unwritten.push(id),
  });
  const work: Bench["work"] = (text) => (id, source) => {
    worked.push(id);
    return app.submit({
      ...submission(text === undefined ? {} : { text }),
      ...(text === undefined && { source }),
      id,
    });
  };
  return {
    app,
    unwritten,
    worked,
    sendOnce: once,
    work,
    send({ text = MAIL, ...fields } = {}) {
      const request = { ...keyedRequest(text), ...fields };
      return once(request, work(request.source === null ? text : undefined));
    },
    messages: () => app.told.accepted.length,
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

function keyedRequest(text: string): KeyedRequest {
  return { key: "k", keyId: null, user: null, facts: ["send-raw"], source: onceText(text), messageId: null };
}

function sent(answer: KeyedAnswer) {
  assert.equal(answer.kind, "sent");
  return answer;
}

describe("a request with an idempotency key", () => {
  for (const [how, fields] of [
    ["whose body streams", {}],
    ["that is known whole", { source: null, facts: ["send", MAIL] }],
  ] as const) {
    test(`${how} is answered as the first time when it is sent again, and one mail goes out`, async () => {
      await using it = await bench();
      const request = () => ({ ...fields, ...(fields.source === null ? {} : { source: onceText(MAIL) }) });
      const first = sent(await it.send(request()));
      assert.deepEqual(
        [first.replayed, rowsOf(first.receipt).map(({ state }) => state)],
        [false, ["queued"]],
      );
      await it.app.settleAll(await it.app.take(), {
        kind: "delivered",
        reply: { code: 250, enhanced: null, text: "ok" },
        route: NO_ROUTE,
      });
      await it.app.clock.advance(KEEP_MS - 1);
      const second = sent(await it.send(request()));
      assert.deepEqual(second, { ...first, replayed: true }, "with the state it had then");
      assert.equal(it.messages(), 1);
    });
  }

  test("sends another mail when its time is over", async () => {
    await using it = await bench();
    const first = sent(await it.send());
    await it.app.clock.advance(KEEP_MS);
    const second = sent(await it.send());
    assert.notEqual(second.receipt.messageId, first.receipt.messageId);
    assert.deepEqual([second.replayed, it.messages()], [false, 2]);
  });

  test("is one request: another body, route or parameter under its key is refused", async () => {
    await using it = await bench();
    await it.send();
    assert.equal((await it.send({ text: `${MAIL}x` })).kind, "other");
    assert.equal((await it.send({ facts: ["send-raw", "to"] })).kind, "other");
    assert.equal((await it.send({ facts: ["send", MAIL], source: null })).kind, "other");
    assert.equal(it.messages(), 1);
  });

  test("is of its API key and its user: the same key of others is another", async () => {
    await using it = await bench();
    const answers = [
      sent(await it.send()),
      sent(await it.send({ keyId: "a" })),
      sent(await it.send({ keyId: "b" })),
      sent(await it.send({ keyId: "a", user: "shop" })),
      sent(await it.send({ user: "a" })),
    ];
    assert.equal(new Set(answers.map(({ receipt }) => receipt.messageId)).size, answers.length);
  });

  test("may be corrected under the same key when it was refused", async () => {
    await using it = await bench();
    const refused = it.sendOnce(keyedRequest("x"), () =>
      Promise.reject(new DomainError("invalid-body", "no")),
    );
    await assert.rejects(refused, /no/);
    assert.equal(sent(await it.send({ text: "Subject: right\r\n\r\n" })).replayed, false);
  });

  test("keeps its key when our side failed, and has the same id at the next try", async () => {
    await using it = await bench();
    let tried: MessageId | null = null;
    const failed = it.sendOnce({ ...keyedRequest(MAIL), source: null, facts: ["f"] }, (id) => {
      tried = id;
      return Promise.reject(new Error("the store is down"));
    });
    await assert.rejects(failed, /down/);
    assert.equal((await it.send({ source: null, facts: ["g"] })).kind, "other");
    const again = sent(await it.send({ source: null, facts: ["f"] }));
    assert.deepEqual([again.receipt.messageId, again.replayed], [tried, false]);
  });

  test("that died after its mail was accepted is answered out of the queue, and nothing is sent again", async () => {
    await using it = await bench();
    const accepted: MessageId[] = [];
    void it.sendOnce(keyedRequest(MAIL), async (id, source) => {
      accepted.push((await it.work()(id, source)).messageId);
      return new Promise<never>(() => undefined); // the process is gone
    });
    await until(() => accepted.length === 1);
    await it.app.clock.advance(CLAIM_MS);
    assert.equal((await it.send({ text: "Subject: other\r\n\r\n" })).kind, "other");
    const again = sent(await it.send());
    assert.deepEqual([again.receipt.messageId, again.replayed], [accepted[0], true]);
    assert.equal(sent(await it.send()).receipt.messageId, accepted[0]);
    assert.equal(it.messages(), 1);
  });

  test("that died before its mail was accepted is sent by the next try, which may then be another", async () => {
    await using it = await bench();
    let begun = false;
    void it.sendOnce(keyedRequest(MAIL), () => {
      begun = true;
      return new Promise<never>(() => undefined);
    });
    await until(() => begun);
    await it.app.clock.advance(CLAIM_MS);
    assert.equal(sent(await it.send({ text: "Subject: other\r\n\r\n" })).replayed, false);
    assert.equal(it.messages(), 1);
  });

  test("that lost its claim and went on accepts no second mail, and says what was accepted", async () => {
    await using it = await bench();
    const gate = Promise.withResolvers<void>();
    let begun = false;
    const slow = it.sendOnce({ ...keyedRequest(MAIL), source: null, facts: ["f"] }, async (id) => {
      begun = true;
      await gate.promise;
      return it.work(MAIL)(id, onceText(MAIL));
    });
    await until(() => begun);
    await it.app.clock.advance(CLAIM_MS);
    const fast = sent(await it.send({ source: null, facts: ["f"] }));
    gate.resolve();
    const late = sent(await slow);
    assert.deepEqual([late.receipt.messageId, late.replayed], [fast.receipt.messageId, true]);
    assert.deepEqual([it.worked.length, it.messages()], [2, 1]);
  });

  test("beside the first one waits for its answer, and not for long", async () => {
    await using it = await bench();
    const gate = Promise.withResolvers<void>();
    const first = it.sendOnce(keyedRequest(MAIL), async (id, source) => {
      await gate.promise;
      return it.work()(id, source);
    });
    const patient = it.send();
    const impatient = it.send();
    const other = it.send({ text: "Subject: other\r\n\r\n" });
    await until(() => it.app.clock.sleepers === 3);
    await it.app.clock.advance(WAIT_MS / 2);
    gate.resolve();
    const { receipt } = sent(await first);
    await it.app.clock.advance(WAIT_MS / 2);
    assert.deepEqual(await patient, { kind: "sent", receipt, replayed: true });
    assert.deepEqual(await impatient, { kind: "sent", receipt, replayed: true });
    assert.equal((await other).kind, "other");
    assert.equal(it.messages(), 1);

    void it.sendOnce({ ...keyedRequest(MAIL), key: "stuck" }, () => new Promise<never>(() => undefined));
    const waiting = it.send({ key: "stuck" });
    await until(() => it.app.clock.sleepers === 1);
    await it.app.clock.advance(WAIT_MS);
    assert.equal((await waiting).kind, "busy");
  });

  test("is answered when its answer could not be kept, and finds its mail in the queue the next time", async () => {
    await using it = await bench((backend) => ({
      ...backend,
      idempotency: { ...backend.idempotency, finish: () => Promise.reject(new Error("throttled")) },
    }));
    const first = sent(await it.send());
    assert.deepEqual(it.unwritten, [first.receipt.messageId]);
    await it.app.clock.advance(CLAIM_MS);
    const second = sent(await it.send());
    assert.deepEqual(second, { ...first, replayed: true });
    assert.equal(it.messages(), 1);
  });

  test("with more recipients than are kept is answered out of the queue, and says so when they are gone from there", async () => {
    let gone = false;
    await using it = await bench((backend) => ({
      ...backend,
      queue: { ...backend.queue, get: (id) => (gone ? Promise.resolve(null) : backend.queue.get(id)) },
    }));
    const recipients = Array.from({ length: 1_000 }, (_, i) =>
      address(`${i}${"x".repeat(60)}@${"y".repeat(60)}.${"z".repeat(60)}.example`),
    );
    const send = () =>
      it.sendOnce(keyedRequest(MAIL), (id, source) =>
        it.app.submit({ ...submission({ recipients }), source, id }),
      );
    const first = sent(await send());
    assert.equal(rowsOf(first.receipt).length, 1_000);
    assert.deepEqual(await send(), { ...first, replayed: true });
    gone = true;
    assert.deepEqual(await send(), { kind: "over", messageId: first.receipt.messageId });
  });
});

/** Real time is for the store's writes only; the clock of the use case stands still. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1_000; turn++) {
    if (condition()) return;
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
  }
  assert.fail("it did not come to that");
}
