import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { domainOf } from "#shared/domain/address.ts";
import { parseDomain } from "#shared/domain/address.ts";
import type { Domain } from "#shared/domain/address.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { MAX_FBL_CHARS } from "#shared/domain/intake.ts";
import { NO_ROUTE } from "#shared/domain/outcome.ts";
import { DAY, HOUR, MINUTE } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { SenderSettings } from "#shared/ports/sender-directory.ts";
import { openApp, submission } from "../../support/app.ts";
import { bodyOf } from "../../support/backend.ts";
import { address, newMessageId } from "../../support/builders.ts";

describe("submit", () => {
  test("stores message, body and a row for each recipient before it resolves", async () => {
    await using app = await openApp();
    const recipients = [address("a@one.example"), address("b@two.example")];
    const submitted = await app.submit(
      submission({ recipients, text: "Subject: hi\r\nBcc: x@y.example\r\n\r\nbody\r\n" }),
    );
    const stored = await app.backend.queue.get(submitted.messageId);
    assert.deepEqual(
      stored?.rows.map(({ recipient, state, zone }) => [recipient, state, zone]),
      [
        ["a@one.example", "queued", "default"],
        ["b@two.example", "queued", "default"],
      ],
    );
    const body = (await bodyOf(app.backend, submitted.messageId))?.toString() ?? "";
    assert.match(body, /^Subject: hi\r\n/);
    assert.match(body, /\r\n\r\nbody\r\n$/);
    assert.doesNotMatch(body, /Bcc/);
    assert.equal(stored?.message.body.bytes, body.length);
    assert.equal(stored?.message.subject, "hi");
    assert.equal(app.told.accepted.length, 1);
  });

  test("takes a recipient that is named twice once", async () => {
    await using app = await openApp();
    const recipients = [address("a@one.example"), address("a@ONE.example")];
    const { rows } = await app.submit(submission({ recipients }));
    assert.deepEqual(
      rows.map(({ id, recipient }) => [id.slice(-4), recipient]),
      [[".001", "a@one.example"]],
    );
  });

  test("refuses a message for nobody", async () => {
    await using app = await openApp();
    await assert.rejects(app.submit(submission({ recipients: [] })), { code: "no-recipients" });
    assert.equal(app.told.notAccepted.length, 1);
  });

  test("refuses headers that are not ASCII unless the client said SMTPUTF8, and keeps nothing of them", async () => {
    const put: MessageId[] = [];
    await using app = await openApp({}, (backend) => spyOnBodies(backend, put));
    const text = "Subject: j\u00f5geva\r\n\r\nbody\r\n";
    await assert.rejects(app.submit(submission({ text, smtputf8: false })), { code: "needs-smtputf8" });
    assert.equal(await bodyOf(app.backend, put[0] as MessageId), null);
    const { message } = await app.submit(submission({ text, smtputf8: true }));
    assert.equal(message.smtputf8, true);
  });

  test("refuses a From header that the login may not use, and keeps nothing of the mail", async () => {
    const put: MessageId[] = [];
    await using app = await openApp({}, (backend) => spyOnBodies(backend, put));
    const senders = ["one.example"];
    const forged = submission({ senders, text: "From: ceo@bank.example\r\n\r\nbody\r\n" });
    await assert.rejects(app.submit(forged), { code: "forbidden", path: "from" });
    assert.equal(await bodyOf(app.backend, put[0] as MessageId), null);
    await app.submit(submission({ senders, text: "From: a@one.example\r\n\r\nbody\r\n" }));
    await app.submit(submission({ senders: null, text: "From: ceo@bank.example\r\n\r\nbody\r\n" }));
    assert.equal(app.told.accepted.length, 2);
  });

  test("keeps nothing of a message that is refused half way", async () => {
    const put: MessageId[] = [];
    await using app = await openApp({}, (backend) => spyOnBodies(backend, put));
    const text = `Subject: x\r\n\r\n${"long line\r\n".repeat(20_000)}`;
    await assert.rejects(app.submit(submission({ text, maxBytes: 100_000 })), { code: "message-too-large" });
    assert.equal(put.length, 1);
    assert.equal(await bodyOf(app.backend, put[0] as MessageId), null);
    assert.deepEqual(await app.backend.queue.counts(), []);
  });

  test("keeps no body when the queue does not take the message, and lets the fault rise", async () => {
    const put: MessageId[] = [];
    await using app = await openApp({}, (backend) => ({
      ...spyOnBodies(backend, put),
      queue: { ...backend.queue, accept: () => Promise.reject(new Error("the store is down")) },
    }));
    await assert.rejects(app.submit(submission()), (error) => !(error instanceof DomainError));
    assert.equal(await bodyOf(app.backend, put[0] as MessageId), null);
  });

  test("a message is accepted when the queue took it and only its answer was lost", async () => {
    await using app = await openApp({}, losesAnswers);
    const { messageId, repeated } = await app.submit(submission());
    assert.equal(repeated, undefined);
    assert.deepEqual([app.told.accepted.length, app.told.notAccepted.length], [1, 0]);
    assert.equal((await app.backend.queue.get(messageId))?.rows.length, 1);
    assert.match((await bodyOf(app.backend, messageId))?.toString() ?? "", /hello/);
  });

  test("a message of a given id that was accepted before is known as that when the answer was lost", async () => {
    await using app = await openApp({}, losesAnswers);
    const id = newMessageId();
    assert.equal((await app.submit(submission({ id }))).repeated, undefined);
    await app.clock.advance(MINUTE);
    assert.equal((await app.submit(submission({ id }))).repeated, true);
    assert.equal(app.told.accepted.length, 1);
  });

  test("keeps the body while nobody can say whether the queue took the message, and lets the fault rise", async () => {
    const put: MessageId[] = [];
    await using app = await openApp({}, (backend) => ({
      ...spyOnBodies(backend, put),
      queue: {
        ...losesAnswers(backend).queue,
        get: () => Promise.reject(new Error("the store is down as well")),
      },
    }));
    await assert.rejects(app.submit(submission()), { message: "no answer came" });
    assert.match((await bodyOf(app.backend, put[0] as MessageId))?.toString() ?? "", /hello/);
    assert.equal(app.told.accepted.length, 0);
  });

  test("marks a suppressed recipient and sends to the others", async () => {
    await using app = await openApp();
    await app.backend.suppressions.add({ address: address("Gone@one.example"), reason: "unsubscribed" });
    const recipients = [address("gone@one.example"), address("here@one.example")];
    const { messageId } = await app.submit(submission({ recipients }));
    const rows = (await app.backend.queue.get(messageId))?.rows ?? [];
    assert.deepEqual(
      rows.map(({ state }) => state),
      ["suppressed", "queued"],
    );
    assert.match(rows[0]?.lastAttempt?.detail ?? "", /suppression list: unsubscribed/);
  });

  test("an entry of a sender domain, or of a user, suppresses that mail alone; the time of an entry ends", async () => {
    await using app = await openApp();
    const { suppressions } = app.backend;
    const rcpt = address("rcpt@one.example");
    const scope = { kind: "sender", domain: domainOf(address("a@sender.example")) } as const;
    await suppressions.add({ address: rcpt, scope, reason: null });
    await suppressions.add({
      domain: domainOf(rcpt),
      scope: { kind: "user", user: "shop" },
      reason: null,
      expiresAt: app.clock.in(HOUR),
    });
    const stateFor = async (from: string, user: string | null) => {
      const base = submission();
      const { rows } = await app.submit({
        ...base,
        returnPath: address(from),
        origin: { ...base.origin, user },
      });
      return rows[0]?.state;
    };
    assert.equal(await stateFor("x@sender.example", null), "suppressed");
    assert.equal(await stateFor("x@other.example", null), "queued");
    assert.equal(await stateFor("x@other.example", "shop"), "suppressed");
    await app.clock.advance(HOUR);
    assert.equal(await stateFor("x@other.example", "shop"), "queued");
  });

  test("delays to the time asked for, and never by more than the configuration allows", async () => {
    await using app = await openApp();
    const { clock } = app;
    const soon = await app.submit(submission({ notBefore: clock.in(HOUR) }));
    const late = await app.submit(submission({ notBefore: clock.in(2_000 * DAY) }));
    assert.deepEqual(await app.take(), []);
    assert.equal((await app.backend.queue.get(soon.messageId))?.rows[0]?.dueAt, clock.in(HOUR));
    assert.equal(
      (await app.backend.queue.get(late.messageId))?.rows[0]?.dueAt,
      clock.in(app.config.queue.maxDelayMs),
    );
    await clock.advance(HOUR);
    assert.deepEqual(
      (await app.take()).map(({ message }) => message.id),
      [soon.messageId],
    );
  });

  test("reads a Date that lies ahead as a wish only where that is configured", async () => {
    await using app = await openApp({ plugins: { "core/default-headers": { futureDate: true } } });
    await using plain = await openApp();
    const at = app.clock.in(2 * HOUR);
    const text = `Date: ${new Date(at).toUTCString()}\r\n\r\nlater\r\n`;
    const delayed = await app.submit(submission({ text }));
    assert.equal(
      (await app.backend.queue.get(delayed.messageId))?.rows[0]?.dueAt,
      Math.floor(at / 1_000) * 1_000,
    );
    const near = `Date: ${new Date(app.clock.in(4 * MINUTE)).toUTCString()}\r\n\r\nnow\r\n`;
    assert.equal((await app.submit(submission({ text: near }))).rows[0]?.state, "queued");
    assert.equal((await plain.submit(submission({ text }))).rows[0]?.state, "queued");
  });

  test("routes by X-Sending-Zone only for interfaces that may, and strips the header for all", async () => {
    await using app = await openApp({ zones: { bulk: {} } });
    const text = "X-Sending-Zone: bulk\r\nSubject: x\r\n\r\nx\r\n";
    const zoneOf = async (kind: string): Promise<string | undefined> => {
      const { origin } = submission();
      const { messageId } = await app.submit(submission({ text, origin: { ...origin, interface: kind } }));
      assert.doesNotMatch((await bodyOf(app.backend, messageId))?.toString() ?? "", /sending-zone/i);
      return (await app.backend.queue.get(messageId))?.rows[0]?.zone;
    };
    assert.equal(await zoneOf("api"), "bulk");
    assert.equal(await zoneOf("feeder"), "default");
  });

  test("reaches a zone whatever capitals its name is written in, and never one that nobody serves", async () => {
    await using app = await openApp({ zones: { Bulk: {} } });
    const { origin } = submission();
    const zoneOf = async (header: string | null, directory: string | null): Promise<string | undefined> => {
      const text = `${header === null ? "" : `X-Sending-Zone: ${header}\r\n`}Subject: x\r\n\r\nx\r\n`;
      const settings = { zone: directory, notBefore: null, fbl: null, dkimKeys: [], way: null };
      const { messageId } = await app.submit(
        submission({ text, origin: { ...origin, interface: "api" }, settings }),
      );
      return (await app.backend.queue.get(messageId))?.rows[0]?.zone;
    };
    assert.equal(await zoneOf(" BULK ", null), "bulk");
    assert.equal(await zoneOf(null, "Bulk"), "bulk");
    assert.equal(await zoneOf("bluk", null), "default");
    assert.equal(await zoneOf(null, "bluk"), "default");
    assert.equal(await zoneOf("bounces", "bulk"), "bulk", "the operator has the last word");
    assert.equal(await zoneOf("bounces", "bluk"), "bounces");
    assert.deepEqual(
      app.told.notes.map(({ unknownZone = null }) => unknownZone),
      [null, null, "bluk", "bluk", null, "bluk"],
      "the log has the name that led nowhere",
    );
  });

  test("waits for what the operator's directory says, a year at most, and the year is not held against the mail", async () => {
    await using app = await openApp();
    const { clock } = app;
    const settings = { zone: null, notBefore: clock.in(500 * DAY), fbl: null, dkimKeys: [], way: null };
    const { messageId } = await app.submit(submission({ notBefore: clock.in(HOUR), settings }));
    const rowNow = async () => (await app.backend.queue.get(messageId))?.rows[0];
    assert.equal((await rowNow())?.dueAt, clock.in(365 * DAY));
    await clock.advance(365 * DAY);
    const outcome = {
      kind: "deferred",
      cause: "connect",
      reply: null,
      detail: "down",
      route: NO_ROUTE,
    } as const;
    await app.settleAll(await app.take(), outcome);
    assert.equal((await rowNow())?.state, "deferred", "five days in the queue are five days of trying");
  });

  test("keeps X-Fbl with the message, the operator's before the client's", async () => {
    await using app = await openApp();
    const text = "X-Fbl: campaign-7\r\nSubject: x\r\n\r\nx\r\n";
    const fblOf = async (
      settings: SenderSettings | null,
      from = text,
    ): Promise<string | null | undefined> => {
      const { messageId } = await app.submit(submission({ text: from, ...(settings && { settings }) }));
      return (await app.backend.queue.get(messageId))?.message.fbl;
    };
    assert.equal(await fblOf(null), "campaign-7");
    assert.equal(await fblOf({ zone: null, notBefore: null, fbl: "ours", dkimKeys: [], way: null }), "ours");
    assert.equal(await fblOf(null, "X-Fbl: \r\n\r\nx\r\n"), null);
    assert.equal((await fblOf(null, `X-Fbl: ${"y".repeat(900)}\r\n\r\nx\r\n`))?.length, MAX_FBL_CHARS);
  });

  test("finds a suppressed recipient however his domain is spelt, also when his local part is not ASCII", async () => {
    await using app = await openApp();
    await app.backend.suppressions.add({ domain: parseDomain("xn--jgeva-dua.ee") as Domain, reason: null });
    await app.backend.suppressions.add({ address: address("õun@apple.example"), reason: null });
    const suppressed = [
      "jõgeva@jõgeva.ee",
      "x@JÕGEVA.ee",
      "õ@xn--jgeva-dua.ee",
      "ÕUN@Apple.EXAMPLE",
      "o\u0303un@apple.example",
    ];
    const recipients = [...suppressed, "oun@apple.example"].map(address);
    const { rows } = await app.submit(submission({ recipients, smtputf8: true }));
    const free = rows.filter(({ state }) => state !== "suppressed").map(({ recipient }) => recipient);
    assert.deepEqual(free, ["oun@apple.example"]);
  });

  test("accepts the report of the same events once", async () => {
    await using app = await openApp();
    const dsn = { id: newMessageId(), zone: app.config.bounces.zone };
    await app.submit(submission({ returnPath: null, dsn, text: "Subject: report\r\n\r\none\r\n" }));
    await app.submit(submission({ returnPath: null, dsn, text: "Subject: report\r\n\r\none\r\n" }));
    assert.equal((await app.take("bounces")).length, 1);
    assert.match((await bodyOf(app.backend, dsn.id))?.toString() ?? "", /one/);
  });
});

/** A queue that takes messages and cannot say so. */
function losesAnswers(backend: Backend): Backend {
  return {
    ...backend,
    queue: {
      ...backend.queue,
      async accept(message, rows) {
        await backend.queue.accept(message, rows);
        throw new Error("no answer came");
      },
    },
  };
}

function spyOnBodies(backend: Backend, put: MessageId[]): Backend {
  const { bodies } = backend;
  return {
    ...backend,
    bodies: {
      put(id, source) {
        put.push(id);
        return bodies.put(id, source);
      },
      get: (id, range) => bodies.get(id, range),
      delete: (id) => bodies.delete(id),
    },
  };
}
