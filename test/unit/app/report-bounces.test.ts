import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { bounced, NO_ROUTE, outcomeOfReply } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import type { Submission } from "#shared/app/submission.ts";
import type { App } from "../../support/app.ts";
import { openApp, submission } from "../../support/app.ts";
import { bodyOf } from "../../support/backend.ts";
import { address } from "../../support/builders.ts";

const refused = outcomeOfReply(smtpReply(550, ["5.1.1 no such user"]), NO_ROUTE);
const text = (headers: string): string =>
  `Message-ID: <orig@sender.example>\r\nSubject: offer\r\n${headers}\r\nhello\r\n`;

/** Submit, bounce and report; gives the reports as they wait in the bounces zone. */
async function reportsOn(app: App, fields: Partial<Submission> & { text?: string } = {}) {
  await app.submit(submission({ text: text(""), ...fields }));
  await app.settleAll(await app.take(), refused);
  await app.report();
  const taken = await app.take("bounces");
  return Promise.all(
    taken.map(async ({ message, leases }) => ({
      message,
      to: leases.map(({ row }) => row.recipient),
      text: (await bodyOf(app.backend, message.id))?.toString() ?? "",
    })),
  );
}

describe("reports on bounces", () => {
  test("go from <> to the return path by the bounces zone, and name recipient, status and reply", async () => {
    await using app = await openApp();
    const [report, ...others] = await reportsOn(app);
    assert.deepEqual(others, []);
    assert.equal(report?.message.returnPath, null);
    assert.deepEqual(report?.to, ["sender@sender.example"]);
    assert.match(report?.text ?? "", /^Final-Recipient: rfc822; ?rcpt@one\.example\r$/m);
    assert.match(report?.text ?? "", /^Status: 5\.1\.1\r$/m);
    assert.match(report?.text ?? "", /^Diagnostic-Code: smtp; ?550 5\.1\.1 no such user\r$/m);
    assert.match(report?.text ?? "", /Subject: offer/);
    assert.equal(app.told.bounces.length, 1);
  });

  test("are one for all recipients of a message that bounced together", async () => {
    await using app = await openApp();
    const recipients = ["a@one.example", "b@one.example", "c@two.example"].map(address);
    const reports = await reportsOn(app, { recipients });
    assert.equal(reports.length, 1);
    assert.equal(reports[0]?.text.match(/^Final-Recipient:/gm)?.length, 3);
  });

  test("tell of a suppressed recipient and of one that expired", async () => {
    await using app = await openApp({ queue: { deferTimes: [1_000] } });
    await app.backend.suppressions.add({ address: address("gone@one.example"), reason: null });
    await app.submit(submission({ recipients: [address("gone@one.example")], text: text("") }));
    await app.submit(submission({ recipients: [address("slow@one.example")], text: text("") }));
    const later = outcomeOfReply(smtpReply(451, ["4.3.0 later"]), NO_ROUTE);
    await app.settleAll(await app.take(), later);
    await app.clock.advance(2_000);
    await app.settleAll(await app.take(), later);
    await app.report();
    assert.equal((await app.take("bounces")).length, 2);
  });

  const silent: [string, Partial<Submission> & { text?: string }][] = [
    ["a message from <>", { returnPath: null }],
    ["a message from a mailer daemon", { returnPath: address("MAILER-DAEMON@sender.example") }],
    ["an automatic answer", { text: text("Auto-Submitted: auto-replied\r\n") }],
    ["a message that wants none", { text: text("X-Auto-Response-Suppress: OOF, All\r\n") }],
    ["a message that wants no reports of failures", { text: text("X-Auto-Response-Suppress: DR, NDR\r\n") }],
    ["a message written by a mailer daemon", { text: text("From: <Mailer-Daemon@x.example>\r\n") }],
    ["a report", { text: text("Content-Type: multipart/report; report-type=delivery-status\r\n") }],
  ];
  for (const [what, fields] of silent) {
    test(`are not made for ${what}`, async () => {
      await using app = await openApp();
      assert.deepEqual(await reportsOn(app, fields), []);
    });
  }

  test("are made for bulk mail, which says nothing of how it was sent", async () => {
    await using app = await openApp();
    assert.equal((await reportsOn(app, { text: text("Precedence: bulk\r\n") })).length, 1);
  });

  test("are not made where core/email-bounce is off, or off for the zone of the mail", async () => {
    for (const plugin of [{ enabled: false }, { zoneConfig: { default: { silent: true } } }]) {
      await using app = await openApp({ plugins: { "core/email-bounce": plugin } });
      assert.deepEqual(await reportsOn(app), []);
    }
  });

  test("are not made for a report that bounces itself", async () => {
    await using app = await openApp();
    await app.submit(submission({ text: text("") }));
    await app.settleAll(await app.take(), refused);
    await app.report();
    await app.settleAll(await app.take("bounces"), bounced("no-domain", "5.1.2", "no such domain"));
    await app.report();
    assert.deepEqual(await app.take("bounces"), []);
    assert.equal(app.told.bounces.length, 1);
  });

  /** An app whose first reader of events dies before it has said that it is done. */
  const openAppWithDeath = () =>
    openApp({ queue: { deferTimes: [1_000] } }, (backend) => {
      let first = true;
      const { events } = backend;
      return {
        ...backend,
        events: {
          ...events,
          advance: (claim, position) => {
            if (!first) return events.advance(claim, position);
            first = false;
            return Promise.reject(new Error("killed here"));
          },
        },
      };
    });

  test("are made once, also when the reader dies before it has said that it is done", async () => {
    await using app = await openAppWithDeath();
    await app.submit(submission({ text: text("") }));
    await app.settleAll(await app.take(), refused);
    await assert.rejects(app.report(), /killed here/);
    await app.report();
    assert.equal((await app.take("bounces")).length, 1);
    assert.equal(await app.report(), 0, "nothing is left to read");
  });

  test("cost no write while nothing happens", async () => {
    let claims = 0;
    await using app = await openApp({}, (backend) => ({
      ...backend,
      events: {
        ...backend.events,
        claim: (consumer, worker, until) => {
          claims++;
          return backend.events.claim(consumer, worker, until);
        },
      },
    }));
    for (let i = 0; i < 5; i++) assert.equal(await app.report(), 0);
    assert.equal(claims, 1);
    await app.submit(submission({ text: text("") }));
    assert.equal(await app.report(), 1, "the reception");
    assert.equal(claims, 2);
  });

  test("name no recipient twice when more of the message bounced before the events are read again", async () => {
    await using app = await openAppWithDeath();
    const recipients = ["a@one.example", "b@one.example"].map(address);
    await app.submit(submission({ recipients, text: text("") }));
    const [taken] = await app.take();
    const [first, second] = taken?.leases ?? [];
    assert.ok(taken && first && second);
    await app.settleAll([{ ...taken, leases: [first] }], refused);
    await assert.rejects(app.report(), /killed here/);
    await app.clock.advance(5);
    await app.settleAll([{ ...taken, leases: [second] }], refused);
    await app.report();
    const reports = await app.take("bounces");
    const texts = await Promise.all(reports.map(({ message }) => bodyOf(app.backend, message.id)));
    const named = texts.flatMap((body) => body?.toString().match(/^Final-Recipient: .*$/gm) ?? []);
    assert.equal(named.length, 2, named.join());
  });
});
