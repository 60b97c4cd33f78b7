import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { deferred, NO_ROUTE, outcomeOfReply } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import { HOUR, MINUTE } from "#shared/domain/units.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import type { App } from "../../support/app.ts";
import { openApp, submission } from "../../support/app.ts";
import { bodyOf } from "../../support/backend.ts";
import { address } from "../../support/builders.ts";
import { pythonLacks, runPython } from "../../support/python.ts";

const route = { ...NO_ROUTE, mx: "mx.one.example", peer: "192.0.2.7" };
const busy = outcomeOfReply(smtpReply(451, ["4.3.0 busy"]), route);
const taken = outcomeOfReply(smtpReply(250, ["2.0.0 ok"]), route);
const refused = outcomeOfReply(smtpReply(550, ["5.1.1 no such user"]), route);

/** Defer what is due, again and again, each time after `waitMs`; reports are made all along. */
async function deferOften(app: App, times: number, waitMs: number, zone = "default"): Promise<void> {
  for (let i = 0; i < times; i++) {
    await app.settleAll(await app.take(zone), busy);
    await app.report();
    await app.clock.advance(waitMs);
  }
}

/** The reports that wait, which are delivered by that. */
async function warnings(app: App, zone = "bounces") {
  const due = await app.take(zone);
  const found = await Promise.all(
    due.map(async ({ message, leases }) => ({
      message,
      to: leases.map(({ row }) => row.recipient),
      text: (await bodyOf(app.backend, message.id))?.toString() ?? "",
    })),
  );
  await app.settleAll(due, taken);
  return found;
}

const everyHour: ConfigInput = { queue: { deferTimes: Array.from({ length: 20 }, () => HOUR) } };

describe("a mail that is late", () => {
  test("is told of once, at the first deferral three hours after the first one", async () => {
    await using app = await openApp(everyHour);
    await app.submit(submission());
    await deferOften(app, 3, HOUR);
    assert.deepEqual(await warnings(app), [], "two hours are not late");
    await deferOften(app, 1, HOUR);
    const [warning, ...more] = await warnings(app);
    assert.deepEqual(more, []);
    assert.deepEqual(warning?.to, ["sender@sender.example"]);
    assert.equal(warning?.message.returnPath, null);
    await deferOften(app, 10, HOUR);
    assert.deepEqual(await warnings(app), [], "nobody is warned twice");
  });

  test(
    "has a report with a real date of arrival, the host that said no, and when it will be given up",
    { skip: pythonLacks("email") },
    async () => {
      await using app = await openApp(everyHour);
      const acceptedAt = app.clock.now();
      await app.submit(submission({ recipients: ["a@one.example", "b@one.example"].map(address) }));
      await deferOften(app, 4, HOUR);
      const [warning] = await warnings(app);
      const parsed = runPython("parse-mail.py", {
        message: Buffer.from(warning?.text ?? "").toString("base64"),
      }) as {
        headers: [string, string][];
        parts: { type: string; parts: { headers: [string, string][] }[] }[];
      };
      const subject = parsed.headers.find(([name]) => name === "Subject")?.[1];
      assert.equal(subject, "Delivery Status Notification (Delay)");
      const [ofMessage, ...ofRecipients] = (parsed.parts[1]?.parts ?? []).map(({ headers }) =>
        Object.fromEntries(headers),
      );
      assert.equal(Date.parse(ofMessage?.["Arrival-Date"] ?? ""), Math.floor(acceptedAt / 1_000) * 1_000);
      assert.equal(ofRecipients.length, 2);
      for (const of of ofRecipients) {
        assert.equal(of["Action"], "delayed");
        assert.equal(of["Status"], "4.3.0");
        assert.equal(of["Remote-MTA"], "dns; mx.one.example");
        const until = Date.parse(of["Will-Retry-Until"] ?? "");
        assert.equal(until, Math.floor((acceptedAt + 20 * HOUR) / 1_000) * 1_000, "the ladder's end");
      }
      assert.doesNotMatch(warning?.text ?? "", /X-Failed-Recipients/);
    },
  );

  test("is told of also when it was put off untried, or has been in an outage", async () => {
    await using app = await openApp({ queue: { deferTimes: [8 * HOUR, 8 * HOUR] } });
    await app.submit(submission());
    await app.settleAll(await app.take(), deferred("connect", "no connection"));
    await app.clock.advance(9 * HOUR);
    await app.settleAll(await app.take(), deferred("connect", "no connection"));
    await app.report();
    assert.equal((await warnings(app)).length, 1);
  });

  test("is not told of when it was delivered, or bounced, before the report was made", async () => {
    for (const end of [taken, refused]) {
      await using app = await openApp(everyHour);
      await app.submit(submission());
      await deferOften(app, 3, HOUR);
      await app.settleAll(await app.take(), busy);
      await app.clock.advance(HOUR);
      await app.settleAll(await app.take(), end);
      await app.report();
      const told = await warnings(app);
      assert.deepEqual(
        told.map(({ text }) => /Action: (\w+)/.exec(text)?.[1]),
        end === taken ? [] : ["failed"],
      );
    }
  });

  test("is warned of, and bounces in the end", async () => {
    await using app = await openApp({ queue: { deferTimes: [2 * HOUR, 2 * HOUR] } });
    await app.submit(submission());
    await deferOften(app, 3, 2 * HOUR);
    const told = await warnings(app);
    assert.deepEqual(
      told.map(({ text }) => /Action: (\w+)/.exec(text)?.[1]),
      ["failed"],
      "it was late in the moment in which it failed",
    );
  });

  test("is not told of with delayEmail off, nor to who gets no bounces", async () => {
    const quiet: [ConfigInput, string][] = [
      [{ plugins: { "core/email-bounce": { delayEmail: { enabled: false } } } }, ""],
      [{ plugins: { "core/email-bounce": { enabled: false } } }, ""],
      [{ plugins: { "core/email-bounce": { zoneConfig: { default: { silent: true } } } } }, ""],
      [{}, "Auto-Submitted: auto-generated\r\n"],
    ];
    for (const [input, headers] of quiet) {
      await using app = await openApp({ ...everyHour, ...input });
      await app.submit(submission({ text: `${headers}Subject: x\r\n\r\nx\r\n` }));
      await deferOften(app, 6, HOUR);
      assert.deepEqual(await warnings(app), []);
    }
  });

  test("is late after as long as the configuration says", async () => {
    await using app = await openApp({
      queue: { deferTimes: Array.from({ length: 9 }, () => MINUTE) },
      plugins: { "core/email-bounce": { delayEmail: { after: 2 * MINUTE } } },
    });
    await app.submit(submission());
    await deferOften(app, 2, MINUTE);
    assert.deepEqual(await warnings(app), []);
    await deferOften(app, 1, MINUTE);
    assert.equal((await warnings(app)).length, 1);
  });
});

describe("what a zone has of its own", () => {
  const input: ConfigInput = {
    ...everyHour,
    zones: { bulk: { recipientDomains: ["two.example"] }, reports: {} },
    plugins: {
      "core/email-bounce": {
        zoneConfig: {
          bulk: { mailerDaemon: { name: "Bulk", address: "bounce@bulk.example" }, sendingZone: "reports" },
        },
      },
    },
  };

  test("is used for its bounces and its warnings, and for those of no other", async () => {
    await using app = await openApp(input);
    await app.submit(
      submission({ recipients: ["a@one.example", "b@two.example", "c@two.example"].map(address) }),
    );
    await deferOften(app, 3, HOUR);
    await deferOften(app, 4, HOUR, "bulk");
    const [warning, ...more] = await warnings(app, "reports");
    assert.deepEqual(more, []);
    assert.match(warning?.text ?? "", /^From: Bulk <bounce@bulk\.example>\r$/m);
    assert.match(warning?.text ?? "", /^Action: delayed\r$/m);
    assert.doesNotMatch(warning?.text ?? "", /a@one\.example/);

    await app.settleAll(await app.take("bulk"), refused);
    await app.settleAll(await app.take("default"), refused);
    await app.report();
    const [bulk] = await warnings(app, "reports");
    assert.match(bulk?.text ?? "", /^From: Bulk <bounce@bulk\.example>\r$/m);
    assert.match(bulk?.text ?? "", /^Action: failed\r$/m);
    const [other] = await warnings(app);
    assert.match(other?.text ?? "", /^From: Mail Delivery Subsystem </m);
    assert.match(other?.text ?? "", /a@one\.example/);
  });
});
