/** Plugins on the way in, through a whole relay and by both front doors. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";

import { createTransport } from "nodemailer";

import type { MessageId } from "#shared/domain/ids.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { pluginFiles } from "../support/plugin-files.ts";
import { queuedId, startRelay } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";

interface Running extends AsyncDisposable {
  readonly relay: Relay;
  readonly mx: FakeMx;
}

/** A relay with one plugin, `./it.js`. */
async function relayWith(
  source: string,
  { options = {}, config = {} }: { options?: Record<string, unknown>; config?: ConfigInput } = {},
): Promise<Running> {
  const stack = new AsyncDisposableStack();
  const files = stack.use(await pluginFiles({ "it.js": source }));
  const mx = stack.use(await startFakeMx());
  const relay = stack.use(
    await startRelay({
      dns: fakeDns(oneExample()),
      config: {
        zones: { default: { port: mx.port } },
        pluginsPath: files.folder,
        plugins: { it: { enabled: true, ...options } },
        ...config,
      },
    }),
  );
  return { relay, mx, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const mail = { from: "me@sender.example", to: "you@one.example", subject: "Hello", text: "It works.\n" };

async function sendBySmtp(relay: Relay, fields: object = mail): Promise<string> {
  const transport = createTransport({ host: "127.0.0.1", port: relay.smtpPort, ignoreTLS: true });
  try {
    const sent = await transport.sendMail(fields);
    return sent.response;
  } catch (error) {
    return (error as { response?: string }).response ?? String(error);
  } finally {
    transport.close();
  }
}

async function sendByHttp(relay: Relay, fields: object = mail): Promise<{ status: number; body: Answer }> {
  const response = await fetch(`${relay.httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(fields),
  });
  return { status: response.status, body: (await response.json()) as Answer };
}

interface Answer {
  readonly id: MessageId;
  readonly error?: string;
  readonly code?: string;
  readonly response?: string;
}

describe("a plugin that changes mail", { timeout: 60_000 }, () => {
  test("changes headers, envelope and zone, and keeps something with the message", async () => {
    await using it = await relayWith(`
      export async function init(app) {
        app.addHook("message:headers", (envelope, info, next) => {
          envelope.headers.add("X-Seen-By", "it");
          envelope.headers.remove("X-Secret");
          next();
        });
        app.addHook("message:queue", async (envelope) => {
          envelope.to.push("third@one.example");
          envelope.sendingZone = "bounces";
          envelope.campaign = { name: "spring", nothing: null };
          envelope.headers.update("Subject", "[" + envelope.parsedEnvelope.from + "] " + envelope.headers.getFirst("subject"));
        });
      }`);
    const { id } = (await sendByHttp(it.relay, { ...mail, headers: { "X-Secret": "1" } })).body;
    const { message, rows } = await it.relay.message(id);
    assert.deepEqual(
      rows.map(({ recipient, zone }) => [recipient, zone]),
      [
        ["you@one.example", "bounces"],
        ["third@one.example", "bounces"],
      ],
    );
    assert.deepEqual(message.extra, { campaign: { name: "spring", nothing: null } });
    assert.equal(message.subject, "[me@sender.example] Hello");
    const body = await fetch(`${it.relay.httpUrl}/fetch/${id}`).then((one) => one.text());
    assert.match(body, /^X-Seen-By: it\r\n/m);
    assert.match(body, /^Subject: \[me@sender.example\] Hello\r\n/m);
    assert.doesNotMatch(body, /X-Secret/);
    assert.equal(Buffer.byteLength(body), message.body.bytes);
  });
});

describe("a plugin that decides on mail", { timeout: 60_000 }, () => {
  test("drops it with 250: nobody gets it, and its fate can be asked for", async () => {
    await using it = await relayWith(`
      module.exports.init = function (app, done) {
        app.addHook("message:queue", (envelope, info, next) => next(app.drop(envelope, "looks bad", info)));
        done();
      };`);
    const id = queuedId(await sendBySmtp(it.relay));
    const { message, rows } = await it.relay.message(id);
    assert.deepEqual(
      rows.map(({ state, lastAttempt }) => [state, lastAttempt?.detail]),
      [["dropped", "dropped by a plugin: looks bad"]],
    );
    assert.equal(message.subject, "Hello");
    assert.equal(await it.relay.backend.bodies.get(id), null);
    const answer = await sendByHttp(it.relay);
    assert.equal(answer.status, 200);
    assert.equal((await it.relay.message(answer.body.id)).rows[0]?.state, "dropped");
  });

  test("refuses it with the code and text it gives, by both front doors", async () => {
    await using it = await relayWith(`
      export function init(app, done) {
        app.addHook("message:headers", (envelope, info, next) =>
          next(app.reject(envelope, "spam", info, "554 5.7.9 We do not like it")));
        done();
      }`);
    assert.equal(await sendBySmtp(it.relay), "554 5.7.9 We do not like it");
    const { status, body } = await sendByHttp(it.relay);
    assert.deepEqual([status, body.code, body.error], [422, "refused", "5.7.9 We do not like it"]);
    assert.deepEqual(await it.relay.backend.queue.counts(), []);
  });
});

describe("a plugin that serves routes", { timeout: 60_000 }, () => {
  test("gets parameters and bodies, and answers as it likes", async () => {
    await using it = await relayWith(`
      export async function init(app) {
        app.addAPI("post", "/keys/:domain", (req, res, next) => {
          res.json(201, { domain: req.params.domain, got: req.body, page: req.query.page });
          next();
        });
        app.addAPI("get", "/plain", async () => ({ fine: true }));
        app.addAPI("get", "/broken", async () => { throw new Error("oops"); });
      }`);
    const at = `${it.relay.httpUrl}/plugin/it`;
    const created = await fetch(`${at}/keys/one.example?page=2`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ selector: "s" }),
    });
    assert.equal(created.status, 201);
    assert.deepEqual(await created.json(), { domain: "one.example", got: { selector: "s" }, page: "2" });
    assert.deepEqual(await (await fetch(`${at}/plain`)).json(), { fine: true });
    assert.equal((await fetch(`${at}/plain`, { method: "POST" })).status, 405);
    assert.equal((await fetch(`${at}/nothing`)).status, 404);
    assert.equal((await fetch(`${at}/broken`)).status, 500);
    const elsewhere = await fetch(`${at}/plain`, { headers: { "x-forwarded-for": "192.0.2.1" } });
    assert.equal(elsewhere.status, 401);
  });
});

describe("a plugin with routes as restify has them", { timeout: 60_000 }, () => {
  test("answers by end, in pieces, and with a status and headers of its own", async () => {
    await using it = await relayWith(`
      export async function init(app) {
        app.addAPI("GET", "/ping", (req, res, next) => {
          res.end("my awesome plugin");
          next();
        });
        app.addAPI("GET", "/teapot", (req, res, next) => {
          res.writeHead(418, { "Content-Type": "text/html", "X-Asked-By": req.header("X-Who", "nobody") });
          res.write("<p>");
          res.end("tea</p>");
          next();
        });
        app.addAPI("GET", "/gone", (req, res) => { res.statusCode = 410; res.end(); });
      }`);
    const at = `${it.relay.httpUrl}/plugin/it`;
    const ping = await fetch(`${at}/ping`);
    assert.deepEqual([ping.status, await ping.text()], [200, "my awesome plugin"]);
    assert.match(ping.headers.get("content-type") ?? "", /^text\/plain/);
    const teapot = await fetch(`${at}/teapot`, { headers: { "x-who": "anna" } });
    assert.deepEqual([teapot.status, await teapot.text()], [418, "<p>tea</p>"]);
    assert.deepEqual(
      ["content-type", "x-asked-by"].map((name) => teapot.headers.get(name)),
      ["text/html", "anna"],
    );
    assert.equal((await fetch(`${at}/gone`)).status, 410);
  });
});

describe("the example of docs/plugins.md", { timeout: 60_000 }, () => {
  test("does what it says, as it is written", async () => {
    const doc = await readFile(new URL("../../docs/plugins.md", import.meta.url), "utf8");
    const [, source = ""] = /```ts\n\/\/ plugins\/tag\.ts\n([^]*?)```/.exec(doc) ?? [];
    await using files = await pluginFiles({ "tag.ts": source });
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns(oneExample()),
      config: {
        zones: { default: { port: mx.port } },
        pluginsPath: files.folder,
        plugins: { tag: { enabled: "receiver", tag: "spring" } },
      },
    });
    const id = queuedId(await sendBySmtp(relay));
    const body = await fetch(`${relay.httpUrl}/fetch/${id}`).then((one) => one.text());
    assert.match(body, /^X-Tag: spring\r\n/m);
    const bad = { ...mail, envelope: { from: "me@bad.example", to: "you@one.example" } };
    assert.equal(await sendBySmtp(relay, bad), "550 5.7.1 Not from there");
  });
});
