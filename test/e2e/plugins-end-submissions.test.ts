/** What a client hears, at both front doors, by each way in which a hook on his mail may end. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { patient } from "../support/patience.ts";
import { relayWith, USUAL_ENDS } from "../support/plugin-relay.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

/** The sender's local part says what the hook does to his mail. */
const FATES = `
  function fate(app, envelope, next) {
    switch (envelope.from.split("@")[0]) {
      case "reject": return next(app.reject(envelope, "no", undefined, "550 5.7.1 Not that"));
      case "code": return next(Object.assign(new Error("Not now"), { responseCode: 452 }));
      case "drop": return next(app.drop(envelope, "not wanted"));
      ${USUAL_ENDS}
    }
  }`;

/** The reply to the final dot, and the status of the answer to POST /send. */
const EXPECTED: Readonly<Record<string, readonly [smtp: RegExp, http: number]>> = {
  reject: [/^550 5\.7\.1 Not that$/, 422],
  code: [/^452 4\.7\.1 Not now$/, 503],
  drop: [/^250 /, 200],
  throws: [/^451 4\.3\.0 /, 503],
  "next-error": [/^451 4\.3\.0 /, 503],
  hangs: [/^451 4\.3\.0 /, 503],
  twice: [/^250 /, 200],
  usual: [/^250 /, 200],
};

const HOOKS: Readonly<Record<string, { parameters: string; doors: readonly ("smtp" | "http")[] }>> = {
  "smtp:data": { parameters: "(envelope, session, next)", doors: ["smtp"] },
  "api:mail": { parameters: "(envelope, session, next)", doors: ["http"] },
  "message:headers": { parameters: "(envelope, info, next)", doors: ["smtp", "http"] },
  "message:store": { parameters: "(envelope, body, next)", doors: ["smtp", "http"] },
  "message:queue": { parameters: "(envelope, info, next)", doors: ["smtp", "http"] },
  "queue:route": { parameters: "(envelope, routing, next)", doors: ["smtp", "http"] },
};

describe("a hook on a mail that comes in", { timeout: patient(60_000) }, () => {
  for (const [hook, { parameters, doors }] of Object.entries(HOOKS)) {
    test(`${hook} ends it as it says, and its fault is not the mail's`, async () => {
      await using it = await relayWith(
        `${FATES}
        export async function init(app) {
          app.addHook("${hook}", ${parameters} => fate(app, envelope, next));
        }`,
        { options: { hookTimeout: 150 } },
      );
      for (const door of doors)
        for (const [name, [reply, status]] of Object.entries(EXPECTED)) {
          if (door === "smtp") assert.match(await bySmtp(it.relay.smtpPort, name), reply, name);
          else assert.equal(await byHttp(it.relay.httpUrl, name), status, name);
        }
      const mails = await it.mx.waitFor(2 * doors.length);
      const senders = mails
        .map(({ returnPath }) => String(returnPath))
        .toSorted((one, other) => one.localeCompare(other));
      const each = ["twice@sender.example", "usual@sender.example"];
      assert.deepEqual(
        senders,
        doors.flatMap(() => each).toSorted((one, other) => one.localeCompare(other)),
      );
    });
  }
});

async function bySmtp(port: number, name: string): Promise<string> {
  using talker = await SmtpTalker.ready(port);
  await talker.sayAll(`MAIL FROM:<${name}@sender.example>`, "RCPT TO:<you@one.example>", "DATA");
  return (await talker.say("Subject: hello\r\n\r\nhello\r\n.")).text;
}

async function byHttp(url: string, name: string): Promise<number> {
  const fields = { from: `${name}@sender.example`, to: "you@one.example", subject: "hello", text: "hello\n" };
  const response = await fetch(`${url}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(fields),
  });
  await response.text();
  return response.status;
}
