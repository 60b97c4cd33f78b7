/** A plugin that takes every hook of ordinary mail (test/data/plugins/every-hook.ts): each is called, with what it asks for there. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { createTransport } from "nodemailer";

import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { patient } from "../support/patience.ts";
import { send } from "../support/plugin-relay.ts";
import { queuedId, startRelay } from "../support/relay.ts";
import { eventually } from "../support/relay-process.ts";

const EXPECTED = [
  "analyzer",
  "api:mail",
  "log:entry",
  "message:headers",
  "message:queue",
  "message:store",
  "queue:bounce",
  "queue:release",
  "queue:route",
  "rewriter",
  "sender:connect",
  "sender:connected",
  "sender:connecting",
  "sender:connection",
  "sender:delivered",
  "sender:fetch",
  "sender:headers",
  "sender:responseError",
  "smtp:connect",
  "smtp:data",
  "smtp:init",
  "smtp:mail_from",
  "smtp:rcpt_to",
  "streamer",
];

test("each hook of a mail is called, and does what it says", { timeout: patient(30_000) }, async () => {
  await using mx = await startFakeMx();
  await using relay = await startRelay({
    dns: fakeDns(oneExample()),
    config: {
      zones: { default: { port: mx.port } },
      pluginsPath: join(import.meta.dirname, "../data/plugins"),
      plugins: { "every-hook": true },
    },
  });
  const transport = createTransport({ host: "127.0.0.1", port: relay.smtpPort, ignoreTLS: true });
  const mail = { from: "me@sender.example", to: "you@one.example", subject: "Hello", text: "It works.\n" };
  const sent = (await transport.sendMail(mail)) as { response: string };
  const { message } = await relay.finished(queuedId(sent.response));
  assert.equal(message.origin.ip, "192.0.2.1");
  const got = (await mx.waitFor(1))[0]?.body.toString() ?? "";
  for (const line of [
    /^X-Blocked: no\r$/m,
    /^X-Seq: 001\r$/m,
    /^X-Processed: yes\r$/m,
    /^Received: from .*192\.0\.2\.1/m,
  ])
    assert.match(got, line);
  await send(relay, { to: "you@nowhere.example" });
  const seen = await eventually("all hooks", patient(15_000), async () => {
    const names = (await (await fetch(`${relay.httpUrl}/plugin/every-hook/seen`)).json()) as string[];
    return EXPECTED.every((name) => names.includes(name)) ? names : null;
  }).catch(async () => (await fetch(`${relay.httpUrl}/plugin/every-hook/seen`)).json());
  assert.deepEqual(
    (seen as string[]).filter((name) => name !== ""),
    EXPECTED,
  );
});
