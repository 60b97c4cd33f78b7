import assert from "node:assert/strict";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";

import { systemClock } from "#shared/runtime/system-clock.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { queuedId, startRelay } from "../support/relay.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

test(
  "nothing is sent that was not in flight while a drain waits for a slow client, whose mail is kept",
  { timeout: 20 * SECOND },
  async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns(oneExample()),
      config: { zones: { default: { port: mx.port } } },
    });
    const client = await SmtpTalker.ready(relay.smtpPort);
    assert.deepEqual(
      await client.sayAll("MAIL FROM:<me@sender.example>", "RCPT TO:<slow@one.example>", "DATA"),
      [250, 250, 354],
    );

    const drained = relay.drain(10 * SECOND);
    const late = await relay.submit(submission({ recipients: [address("late@one.example")] }));
    await systemClock.sleep(SECOND / 2); // it would be delivered in a hundredth of this
    client.write("Subject: slow\r\n\r\nslow\r\n.\r\n");
    const { code, text } = await client.reply();
    await drained;

    assert.equal(code, 250);
    for (const id of [late.messageId, queuedId(text)]) {
      const { rows } = await relay.message(id);
      assert.deepEqual([rows[0]?.state, rows[0]?.attempts], ["queued", 0]);
    }
    assert.equal(mx.mails.length, 0);
  },
);
