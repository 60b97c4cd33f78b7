/** `core/clamav` and `core/rspamd` in a whole relay, by both front doors: with the real daemons, and with none there. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createTransport } from "nodemailer";

import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { queuedId, startRelay } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";
import { EICAR, GTUBE, noClamd, noRspamd, startClamd, startRspamd } from "../support/scanner-daemons.ts";
import { scriptedPeer } from "../support/scripted-peer.ts";

interface Running extends AsyncDisposable {
  readonly relay: Relay;
  readonly mx: FakeMx;
}

async function relayWith(plugins: Record<string, unknown>): Promise<Running> {
  const stack = new AsyncDisposableStack();
  const mx = stack.use(await startFakeMx());
  const config = { zones: { default: { port: mx.port } }, plugins };
  const relay = stack.use(await startRelay({ dns: fakeDns(oneExample()), config }));
  return { relay, mx, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const MAIL = { from: "me@sender.example", to: "you@one.example", subject: "Hello", text: "It works.\n" };
const INFECTED = { ...MAIL, attachments: [{ filename: "a.com", content: Buffer.from(EICAR) }] };
const SPAM = { ...MAIL, text: `${GTUBE}\n` };
/** Over the limit of the clamd that the tests start. */
const LARGE = { ...MAIL, text: "0123456789\n".repeat(200_000) };
const EVERYWHERE = { enabled: "receiver", interfaces: ["*"] };

async function sendBySmtp(relay: Relay, fields: object): Promise<string> {
  const transport = createTransport({ host: "127.0.0.1", port: relay.smtpPort, ignoreTLS: true });
  try {
    return (await transport.sendMail(fields)).response;
  } catch (error) {
    return (error as { response?: string }).response ?? String(error);
  } finally {
    transport.close();
  }
}

async function sendByHttp(relay: Relay, fields: object): Promise<{ status: number; body: string }> {
  const response = await fetch(`${relay.httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(fields),
  });
  return { status: response.status, body: await response.text() };
}

async function isDelivered(relay: Relay, reply: string): Promise<boolean> {
  const id = queuedId(reply);
  return (await relay.finished(id)).rows.every(({ state }) => state === "delivered");
}

describe("core/clamav with the real clamd", { skip: noClamd, timeout: 60_000 }, () => {
  test("takes clean mail, and what is over its limit, and refuses a virus, by SMTP and by HTTP", async () => {
    await using clamd = await startClamd();
    await using it = await relayWith({ "core/clamav": { ...EVERYWHERE, port: clamd.port } });
    assert.ok(await isDelivered(it.relay, await sendBySmtp(it.relay, MAIL)));
    const refusal = "5.7.1 This message contains a virus and may not be delivered";
    assert.equal(await sendBySmtp(it.relay, INFECTED), `550 ${refusal}`);
    const raw = { ...MAIL, attachments: [{ filename: "a.com", content: btoa(EICAR), encoding: "base64" }] };
    const byHttp = await sendByHttp(it.relay, raw);
    assert.equal(byHttp.status, 422);
    assert.match(byHttp.body, /contains a virus/);
    assert.ok(await isDelivered(it.relay, await sendBySmtp(it.relay, LARGE)));
    assert.equal(it.mx.mails.length, 2);
  });

  test("by its Unix socket; mail over maxSize is refused where outages put off", async () => {
    await using clamd = await startClamd();
    const options = { ...EVERYWHERE, socket: clamd.socket, maxSize: 900_000, onFailure: "defer" };
    await using it = await relayWith({ "core/clamav": options });
    assert.match(await sendBySmtp(it.relay, INFECTED), /^550 /);
    assert.match(await sendBySmtp(it.relay, MAIL), /^250 /);
    assert.match(await sendBySmtp(it.relay, LARGE), /^552 5\.3\.4 /);
  });
});

describe("core/rspamd with the real Rspamd", { skip: noRspamd, timeout: 60_000 }, () => {
  test("takes mail with its verdict in the headers and refuses spam, by SMTP and by HTTP", async () => {
    await using rspamd = await startRspamd();
    const url = `http://127.0.0.1:${rspamd.port}`;
    await using it = await relayWith({ "core/rspamd": { ...EVERYWHERE, url } });
    const reply = await sendBySmtp(it.relay, MAIL);
    assert.ok(await isDelivered(it.relay, reply));
    const delivered = it.mx.mails[0]?.body.toString() ?? "";
    assert.match(delivered, /^X-Zone-Spam-Resolution: no action\r$/m);
    assert.match(delivered, /^X-Zone-Spam-Status: No, score=0, required=15\r$/m);
    const refusal = "5.7.1 This message was classified as SPAM and may not be delivered";
    assert.equal(await sendBySmtp(it.relay, SPAM), `550 ${refusal}`);
    assert.equal((await sendByHttp(it.relay, SPAM)).status, 422);
    assert.equal(it.mx.mails.length, 1);
  });

  test("drops spam by choice: 250, and nobody gets it", async () => {
    await using rspamd = await startRspamd();
    const url = `http://127.0.0.1:${rspamd.port}`;
    await using it = await relayWith({ "core/rspamd": { ...EVERYWHERE, url, dropSpam: true } });
    const reply = await sendBySmtp(it.relay, SPAM);
    assert.match(reply, /^250 /);
    const { rows } = await it.relay.message(queuedId(reply));
    assert.deepEqual(
      rows.map(({ state }) => state),
      ["dropped"],
    );
    assert.equal(it.mx.mails.length, 0);
  });
});

describe("mail whose scanner is out", { timeout: 60_000 }, () => {
  test("is taken and delivered, or put off by SMTP and by HTTP, as configured", async () => {
    await using silent = await scriptedPeer(async (talk) => talk.end());
    const out = { ...EVERYWHERE, port: silent.port, timeout: 200 };
    {
      await using it = await relayWith({ "core/clamav": out });
      assert.ok(await isDelivered(it.relay, await sendBySmtp(it.relay, MAIL)));
    }
    await using it = await relayWith({ "core/clamav": { ...out, onFailure: "defer" } });
    assert.match(await sendBySmtp(it.relay, MAIL), /^451 4\.3\.0 The message cannot be scanned now/);
    assert.equal((await sendByHttp(it.relay, MAIL)).status, 503);
    assert.equal(it.mx.mails.length, 0);
  });

  test("is looked at by the other one all the same", { skip: noRspamd }, async () => {
    await using rspamd = await startRspamd();
    await using silent = await scriptedPeer(async (talk) => talk.end());
    await using it = await relayWith({
      "core/clamav": { ...EVERYWHERE, port: silent.port, timeout: 200 },
      "core/rspamd": { ...EVERYWHERE, url: `http://127.0.0.1:${rspamd.port}` },
    });
    assert.match(await sendBySmtp(it.relay, SPAM), /^550 /);
  });
});
