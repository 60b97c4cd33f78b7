/** Plugins on the way out, through a whole relay. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { QueueRow } from "#shared/domain/queue-row.ts";
import { HOUR } from "#shared/domain/units.ts";
import { answering, brokenTls, scriptedPeer } from "../support/scripted-peer.ts";
import { relayWith, send, untilTried } from "../support/plugin-relay.ts";

describe("a plugin that looks at deliveries", { timeout: 60_000 }, () => {
  test("changes headers and envelope of each recipient's mail, and sees what was kept with it", async () => {
    await using it = await relayWith(`
      export function init(app, done) {
        app.addHook("message:queue", async (envelope) => { envelope.tag = "from-accept"; });
        app.addHook("sender:headers", (delivery, connection, next) => {
          delivery.headers.add("X-Tag", delivery.tag + " for " + delivery.recipient);
          delivery.envelope.from = "bounces+" + delivery.seq + "@sender.example";
          next();
        });
        done();
      }`);
    const id = await send(it.relay, { to: ["a@one.example", "b@one.example"] });
    await it.relay.finished(id);
    const mails = await it.mx.waitFor(2);
    const seen = mails.map(({ returnPath, recipients, body }) => [
      returnPath,
      recipients.join(),
      /^X-Tag: (.*)\r\n/m.exec(body.toString())?.[1],
      /\r\n\r\n(.*)\r\n$/.exec(body.toString())?.[1],
    ]);
    assert.deepEqual(
      seen.toSorted((one, other) => String(one).localeCompare(String(other))),
      [
        ["bounces+001@sender.example", "a@one.example", "from-accept for a@one.example", "It works."],
        ["bounces+002@sender.example", "b@one.example", "from-accept for b@one.example", "It works."],
      ],
    );
  });

  test("sends a recipient's mail another way, refuses one, drops one and suppresses one", async () => {
    await using it = await relayWith(
      `
      export function init(app, done) {
        app.addHook("sender:fetch", async (delivery) => {
          switch (delivery.recipient.split("@")[0]) {
            case "relayed": delivery.mx = "127.0.0.1"; delivery.mxPort = app.config.port; break;
            case "refused": throw app.reject(delivery, "no", undefined, "550 5.1.1 Not him");
            case "dropped": throw app.drop(delivery, "seen before");
            case "suppressed": delivery.isSuppressed = true; break;
            case "broken": throw new TypeError("oops");
          }
        });
        done();
      }`,
      { config: { zones: { default: {} } } },
    );
    const id = await send(it.relay, {
      to: ["relayed", "refused", "dropped", "suppressed"].map((name) => `${name}@nowhere.example`),
    });
    const { rows } = await it.relay.finished(id);
    assert.deepEqual(
      rows.map(({ state, lastAttempt }) => [state, lastAttempt?.detail]),
      [
        ["delivered", rows[0]?.lastAttempt?.detail],
        ["bounced", "550 5.1.1 Not him"],
        ["dropped", "dropped by a plugin: seen before"],
        ["suppressed", "suppressed by a plugin"],
      ],
    );
    const broken = await send(it.relay, { to: "broken@one.example" });
    await untilTried(it.relay, broken);
    const { rows: waiting } = await it.relay.message(broken);
    assert.equal(waiting[0]?.state, "deferred");
    assert.match(waiting[0]?.lastAttempt?.detail ?? "", /plugin it: oops/);
  });

  test("says what a reply means, and when to try again", async () => {
    await using it = await relayWith(`
      export function init(app, done) {
        app.addHook("sender:responseError", (delivery, connection, err, next) => {
          if (err.responseCode === 550) err.action = "defer";
          delivery.deferTimes = [3600000];
          next();
        });
        done();
      }`);
    const id = await send(it.relay, { to: "550-rcpt@one.example" });
    await untilTried(it.relay, id);
    const { rows } = await it.relay.message(id);
    assert.equal(rows[0]?.state, "deferred");
    assert.ok(waitOf(rows[0]) >= HOUR, `${waitOf(rows[0])} ms`);
  });

  test("decides on a domain that is not found, too", async () => {
    await using it = await relayWith(`
      export async function init(app) {
        app.addHook("sender:responseError", async (delivery, connection, err) => {
          if (!/does not exist/.test(err.response)) return;
          err.action = "defer";
          delivery.deferTimes = [7200000];
        });
      }`);
    const id = await send(it.relay, { to: "you@nowhere.example" });
    const { rows } = await untilTried(it.relay, id);
    assert.equal(rows[0]?.state, "deferred");
    assert.ok(waitOf(rows[0]) >= 2 * HOUR, `${waitOf(rows[0])} ms`);
  });

  test("sees the egress address that is used, on a new connection and on one that is used again", async () => {
    await using it = await relayWith(
      `
      const seen = [];
      export async function init(app) {
        app.addHook("sender:connect", async (delivery) => { seen.push(delivery.zoneAddress); });
        app.addHook("sender:headers", async (delivery, { secure }) => {
          seen.push({ ...delivery.zoneAddress, secure });
        });
        app.addAPI("get", "/seen", async () => seen);
      }`,
    );
    await it.relay.finished(await send(it.relay));
    await it.relay.finished(await send(it.relay));
    const seen = (await (await fetch(`${it.relay.httpUrl}/plugin/it/seen`)).json()) as {
      name: string;
      secure?: boolean;
    }[];
    assert.deepEqual(
      seen.map(({ name }) => name),
      [seen[0]?.name, seen[0]?.name, seen[0]?.name],
    );
    assert.ok(seen[0]?.name);
    assert.deepEqual(
      seen.map(({ secure }) => secure),
      [undefined, false, false],
    );
  });
});

const waitOf = (row: QueueRow | undefined): number => (row?.dueAt ?? 0) - (row?.lastAttempt?.at ?? 0);

describe("a plugin that connects", { timeout: 60_000 }, () => {
  test("gives a socket of its own, by which the mail goes under TLS", async () => {
    await using it = await relayWith(
      `
      import { connect } from "node:net";
      let asked = 0;
      export async function init(app) {
        app.addHook("sender:connect", async (delivery, options) => {
          asked++;
          options.socket = connect({ port: app.config.port, host: options.host });
        });
        app.addAPI("get", "/asked", async () => asked);
      }`,
      { config: { zones: { default: { port: 1, requireTLS: true } } }, mx: { starttls: true } },
    );
    const id = await send(it.relay);
    const { rows } = await it.relay.finished(id);
    assert.equal(rows[0]?.state, "delivered");
    assert.equal((await it.mx.waitFor(1)).length, 1);
    assert.equal(await (await fetch(`${it.relay.httpUrl}/plugin/it/asked`)).text(), "1");
  });

  test("hears of each handshake that fails", async () => {
    await using peer = await scriptedPeer(brokenTls, brokenTls, answering());
    await using it = await relayWith(
      `
      const heard = [];
      export async function init(app) {
        app.addHook("sender:tlserror", async (delivery, options, error) => {
          heard.push([delivery.recipient, options.host, options.port === app.config.peer, error instanceof Error]);
        });
        app.addHook("sender:tlserror", async () => { throw new Error("nobody minds"); });
        app.addHook("sender:tlserror", () => new Promise(() => undefined));
        app.addAPI("get", "/heard", async () => heard);
      }`,
      { config: { zones: { default: { port: peer.port } } }, options: { peer: peer.port, hookTimeout: 100 } },
    );
    const id = await send(it.relay);
    const { rows } = await it.relay.finished(id);
    assert.equal(rows[0]?.state, "delivered");
    const heard = await (await fetch(`${it.relay.httpUrl}/plugin/it/heard`)).json();
    const once = ["you@one.example", "mx.one.example", true, true];
    assert.deepEqual(heard, [once, once]);
  });
});

describe("a plugin that follows what becomes of mail", { timeout: 60_000 }, () => {
  test("hears of deliveries, bounces, releases and log entries, and may send mail of its own", async () => {
    await using it = await relayWith(`
      const heard = [];
      export function init(app, done) {
        app.addHook("sender:delivered", (delivery, info, next) => { heard.push("delivered " + delivery.recipient); next(); });
        app.addHook("queue:release", (zone, data, next) => { heard.push("release " + zone + " " + data.to + " " + data.status.delivered); next(); });
        app.addHook("queue:bounce", async (bounce, maildrop) => {
          heard.push("bounce " + bounce.to);
          await maildrop.add({ from: "", to: "owner@one.example" }, "Subject: bounced\\n\\n" + bounce.response + "\\n");
        });
        app.addHook("log:entry", (entry, next) => { heard.push(entry.action); next(); });
        app.addHook("log:entry", () => { throw new Error("nobody minds"); });
        app.addAPI("get", "/heard", async () => heard);
        done();
      }`);
    const id = await send(it.relay, { to: ["a@one.example", "550-rcpt@one.example"] });
    await it.relay.finished(id);
    const mails = await it.mx.waitFor(3); // a's, the plugin's own, and the DSN
    const own = mails.find(({ recipients }) => recipients.includes("owner@one.example"));
    assert.match(own?.body.toString() ?? "", /^Subject: bounced\r\n/m);
    const heard = (await (await fetch(`${it.relay.httpUrl}/plugin/it/heard`)).json()) as string[];
    for (const what of [
      "QUEUED",
      "delivered a@one.example",
      "ACCEPTED",
      "release default a@one.example true",
      "REJECTED",
      "bounce 550-rcpt@one.example",
      "release default 550-rcpt@one.example false",
    ])
      assert.ok(heard.includes(what), `${what} in ${heard.join(", ")}`);
  });

  test("hears once that a mail is late, and may throw at that", async () => {
    await using it = await relayWith(
      `
      const heard = [];
      export async function init(app) {
        app.addHook("queue:delayed", async (delivery, maildrop, times) => {
          heard.push([delivery.to, /^451 /.test(delivery.response), typeof maildrop.add, times.first <= times.last]);
          throw new Error("nobody minds");
        });
        app.addAPI("get", "/heard", async () => heard);
      }`,
      {
        config: {
          queue: { deferTimes: [20, 20, 20, 3_600_000] },
          plugins: { it: { enabled: "main" }, "core/email-bounce": { delayEmail: { after: 1 } } },
        },
      },
    );
    const id = await send(it.relay, { to: "451-rcpt@one.example" });
    for (let attempts = 0; attempts < 4;) {
      const { rows } = await untilTried(it.relay, id);
      ({ attempts } = rows[0] as QueueRow);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const heard = await (await fetch(`${it.relay.httpUrl}/plugin/it/heard`)).json();
    assert.deepEqual(heard, [["451-rcpt@one.example", true, "function", true]]);
  });
});
