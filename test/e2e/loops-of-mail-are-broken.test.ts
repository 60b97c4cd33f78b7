/** The core plugins that end loops, on a whole relay: mail that comes back, and a sender who writes to one recipient without end. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createTransport } from "nodemailer";

import type { MessageId } from "#shared/domain/ids.ts";
import { stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import type { FakeMail } from "../support/fake-mx.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { patient } from "../support/patience.ts";
import { relayWith, send } from "../support/plugin-relay.ts";
import type { Relay } from "../support/relay.ts";

const NO_PLUGIN = "export async function init() {}";
const TO = "you@one.example";
const LIMIT = 250;
/** Long enough that the test does not meet the end of one. */
const WINDOW_SECONDS = 2_592_000;

/** As a host does that forwards the mail to where it came from. */
async function resubmit(relay: Relay, mail: FakeMail): Promise<MessageId> {
  const client = createTransport({ host: "127.0.0.1", port: relay.smtpPort, secure: false, ignoreTLS: true });
  const { response } = await client.sendMail({
    envelope: { from: mail.returnPath ?? "", to: [...mail.recipients] },
    raw: mail.body,
  });
  client.close();
  const id = / queued as (\S+)/.exec(response)?.[1];
  assert.ok(id, response);
  return id as MessageId;
}

stopLocalAwsAtEnd();

describe("loops of mail", { timeout: patient(60_000) }, () => {
  test("core/loop-breaker ends a mail that comes back, and nobody gets a report", async () => {
    await using it = await relayWith(NO_PLUGIN, {
      config: { plugins: { "core/loop-breaker": { enabled: "sender", secret: "not to be guessed" } } },
    });
    await send(it.relay, { to: TO });
    const [mail] = await it.mx.waitFor(1);
    assert.ok(mail);
    assert.match(mail.body.toString(), /^X-Zone-Loop:\s+[0-9a-f]{76}\r$/m);
    const back = await it.relay.finished(await resubmit(it.relay, mail));
    assert.deepEqual(
      back.rows.map(({ state, lastAttempt }) => [state, lastAttempt?.detail]),
      [["dropped", `dropped by a plugin: 588 Detected routing loop for ${TO}`]],
    );
    assert.deepEqual(
      it.mx.said.filter((line) => !line.startsWith("RCPT")),
      ["MAIL me@sender.example", `DATA ${TO}`],
    );
  });

  for (const backend of ["embedded", "aws"] as const) {
    test(
      `core/limiter ends what is over 250 of a pair (${backend})`,
      { skip: backend === "aws" && noLocalAws() },
      async () => {
        await using it = await relayWith(NO_PLUGIN, {
          backend,
          config: { plugins: { "core/limiter": { enabled: "sender", windowSize: WINDOW_SECONDS } } },
        });
        const ids = await Promise.all(Array.from({ length: LIMIT + 1 }, () => send(it.relay, { to: TO })));
        const ends = await Promise.all(ids.map((id) => it.relay.finished(id)));
        const details = ends.flatMap(({ rows }) =>
          rows.filter(({ state }) => state === "dropped").map(({ lastAttempt }) => lastAttempt?.detail),
        );
        assert.deepEqual(details, [
          `dropped by a plugin: 582 EXCESSERR from=me@sender.example to=${TO} count=251 limit=250 windowSize=${WINDOW_SECONDS}`,
        ]);
        assert.equal(it.mx.mails.length, LIMIT);
        const other = await it.relay.finished(await send(it.relay, { to: "them@one.example" }));
        assert.equal(other.rows[0]?.state, "delivered");
      },
    );
  }
});
