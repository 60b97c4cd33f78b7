import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as rspamd from "#shared/core-plugins/rspamd.ts";
import { DroppedError } from "#shared/plugins/verdict.ts";
import { httpPeer } from "../../support/http-peer.ts";
import type { HttpPeer } from "../../support/http-peer.ts";
import {
  assertOutage,
  CHUNK,
  inTwoHalves,
  pluginOptions,
  replyOf,
  SCANNED_MAIL,
  scanned,
} from "../../support/scanned.ts";
import type { Scanned } from "../../support/scanned.ts";
import { scriptedPeer } from "../../support/scripted-peer.ts";
import type { Script } from "../../support/scripted-peer.ts";

/** More than a connection's buffers hold. */
const LARGE = Array.from({ length: 70 }, () => CHUNK);
/** So long that no test waits for it. */
const LONG_MS = 20_000;
const SHORT_MS = 50;

const optionsOf = (given: object) => pluginOptions("core/rspamd", given);

const SYMBOLS = {
  SMALL: { score: 0.1 },
  NOTHING: { score: 0 },
  LARGE: { score: 7.25, description: "much" },
  GOOD: { score: -1 },
};

async function rspamdSaying(reply: object): Promise<HttpPeer> {
  const whole = { action: "no action", score: 6.354, required_score: 15, symbols: SYMBOLS, ...reply };
  return httpPeer(() => ({ status: 200, body: JSON.stringify(whole) }));
}

async function checked(
  reply: object,
  options: object = {},
  mail: Parameters<typeof scanned>[2] = {},
): Promise<Scanned> {
  await using peer = await rspamdSaying(reply);
  return await scanned(rspamd.init, optionsOf({ url: peer.url, ...options }), mail);
}

function headersOf({ envelope }: Scanned): string {
  return envelope.headers.build().toString("latin1");
}

describe("core/rspamd", { timeout: 30_000 }, () => {
  test("shows Rspamd the mail with what is known of it", async () => {
    await using peer = await rspamdSaying({});
    const it = await scanned(rspamd.init, optionsOf({ url: `${peer.url}/check`, password: "pass word" }));
    assert.equal(it.refusal, null);
    const [asked] = peer.asked;
    assert.equal(`${asked?.method} ${asked?.target}`, "POST /checkv2");
    assert.equal(asked?.body, SCANNED_MAIL);
    assert.equal(it.bytes.toString(), SCANNED_MAIL);
    const { from, rcpt, ip, helo, hostname, user, password, "queue-id": id } = asked.headers;
    assert.deepEqual([from, rcpt], ["me@sender.example", "one@one.example, two@one.example"]);
    assert.deepEqual([ip, helo, hostname], ["192.0.2.7", "helo.example", "client.example"]);
    assert.deepEqual([id, password], ["m1", "pass word"]);
    assert.equal(Buffer.from(String(user), "latin1").toString(), "müller");
  });

  test("lets nothing that came from a client into the headers of the request but as one line", async () => {
    await using peer = await rspamdSaying({});
    const options = optionsOf({ url: peer.url, ip: "198.51.100.1" });
    const it = await scanned(rspamd.init, options, {
      fields: { transhost: "a\r\nSettings: {}", to: ["o@x.example"] },
    });
    assert.equal(it.refusal, null);
    const { helo, settings, ip, "deliver-to": only } = peer.asked[0]?.headers ?? {};
    assert.deepEqual(
      [helo, settings, ip, only],
      ["a  Settings: {}", undefined, "198.51.100.1", "o@x.example"],
    );
  });

  test("keeps the verdict with the mail, in the log and in its headers", async () => {
    const it = await checked({ action: "add header" });
    assert.equal(it.refusal, null);
    const tests = ["LARGE=7.25", "GOOD=-1", "SMALL=0.1"];
    assert.deepEqual(it.envelope["spam"], {
      default: { action: "add header", score: 6.354, required_score: 15, is_spam: false },
      tests,
    });
    assert.deepEqual(it.info, { score: "6.35", tests: tests.join(",") });
    assert.match(
      JSON.stringify(it.lines),
      /"event":"SPAMCHECK".*"score":6.35.*"result":"add header","tests":\["LARGE=7.25/,
    );
    assert.match(
      headersOf(it).replaceAll(/\r\n[ \t]+/g, " "),
      /\r\nX-Zone-Spam-Resolution: add header\r\nX-Zone-Spam-Status: No, score=6.35, required=15, tests=\[LARGE=7.25, GOOD=-1, SMALL=0.1\]\r\n\r\n$/,
    );
  });

  test("refuses spam with 550; by choice it drops it, or takes it", async () => {
    const spam = { action: "reject" };
    assert.deepEqual(replyOf((await checked(spam)).refusal), [
      550,
      "5.7.1 This message was classified as SPAM and may not be delivered",
    ]);
    assert.ok((await checked(spam, { dropSpam: true })).refusal instanceof DroppedError);
    const taken = await checked(spam, { rejectSpam: false });
    assert.equal(taken.refusal, null);
    assert.match(headersOf(taken), /^X-Zone-Spam-Status: Yes,/m);
    assert.equal((await checked(spam, {}, { fields: { ignoreSpamScore: true } })).refusal, null);
  });

  test("puts off what Rspamd soft-rejects, with its words; what it would greylist by choice", async () => {
    const messages = { smtp_message: "Ratelimit exceeded" };
    assert.deepEqual(replyOf((await checked({ action: "soft reject", messages })).refusal), [
      451,
      "4.7.1 Ratelimit exceeded",
    ]);
    assert.equal((await checked({ action: "greylist" })).refusal, null);
    assert.deepEqual(replyOf((await checked({ action: "greylist" }, { greylist: true })).refusal), [
      451,
      "4.7.1 Try again later",
    ]);
  });

  test("marks the subject by choice", async () => {
    const options = { rewriteSubject: true };
    const marked = await checked({ action: "rewrite subject" }, options);
    assert.match(headersOf(marked), /^Subject: \[\*\*\*SPAM\(6\.35\)\*\*\*\] Hello\r$/m);
    assert.match(headersOf(await checked({ action: "no action" }, options)), /^Subject: Hello\r$/m);
    assert.match(headersOf(await checked({ action: "rewrite subject" })), /^Subject: Hello\r$/m);
  });

  test("adds and removes what Rspamd's modules ask for by choice, and nothing that is no header", async () => {
    const milter = {
      remove_headers: { Subject: 0 },
      add_headers: {
        "X-Spamd-Bar": { value: "++", order: 0 },
        "X-Two": ["one", { value: "t\r\nwo: x" }],
        "No header": "x",
      },
    };
    const built = headersOf(await checked({ milter }, { processSpamHeaders: true }));
    assert.match(built, /^X-Spamd-Bar: \+\+\r$/m);
    assert.match(built, /^X-Two: one\r$/m);
    assert.match(built, /^X-Two: t wo: x\r$/m);
    assert.doesNotMatch(built, /Subject|No header/);
    assert.doesNotMatch(headersOf(await checked({ milter })), /X-Two/);
  });

  test("takes mail over maxSize unseen, without waiting for Rspamd", async () => {
    await using peer = await httpPeer(() => "silence");
    const options = optionsOf({ url: peer.url, onFailure: "defer", timeout: LONG_MS });
    const it = await scanned(rspamd.init, { ...options, maxSize: 70_000 }, { chunks: LARGE });
    assert.equal(it.refusal, null);
    assert.equal(it.bytes.length, LARGE.length * CHUNK.length);
    assert.match(JSON.stringify(it.lines), /"event":"SPAMCHECK".*"result":"skipped"/);
  });

  const OUTAGES: Readonly<Record<string, Script>> = {
    "hangs up": async (talk) => talk.hangUp(),
    "cuts the connection": async (talk) => talk.reset(),
    "talks no HTTP": async (talk) => talk.raw("SSH-2.0-x\r\n"),
    "says 403": answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
    "says what is no JSON": answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{]}"),
    "says JSON without a verdict": answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "says half an answer": answering('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"action":"no', true),
    "has no end of answers": answering(
      `HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n${" ".repeat(600_000)}`,
    ),
  };
  for (const [what, script] of Object.entries(OUTAGES))
    test(`a Rspamd that ${what} is an outage: taken or put off as configured`, async () => {
      await using peer = await scriptedPeer(script);
      const options = (fields = {}) =>
        optionsOf({ url: `http://127.0.0.1:${peer.port}`, timeout: LONG_MS, ...fields });
      await assertOutage(rspamd.init, { options, verdict: "spam", event: "SPAMCHECK", chunks: LARGE });
    });

  test("one that answers before it has the whole mail has not checked it", async () => {
    const givenUp = Promise.withResolvers<void>();
    await using peer = await scriptedPeer(async (talk) => {
      await talk.bytes(1);
      talk.raw('HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"action":"no action"}');
      await talk.end();
      givenUp.resolve();
    });
    const options = optionsOf({ url: `http://127.0.0.1:${peer.port}`, onFailure: "defer", timeout: LONG_MS });
    const it = await scanned(rspamd.init, options, { chunks: inTwoHalves(givenUp.promise) });
    assert.equal(replyOf(it.refusal)[0], 451);
    assert.match(JSON.stringify(it.lines), /before it has seen the whole mail/);
  });

  test("waits no longer than its time for one that says nothing, drips, or takes nothing", async () => {
    const scripts: Script[] = [
      async (talk) => talk.end(),
      async (talk) => talk.deafen(),
      answering("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
    ];
    for (const script of scripts) {
      await using peer = await scriptedPeer(script);
      const options = optionsOf({ url: `http://127.0.0.1:${peer.port}`, timeout: SHORT_MS });
      const it = await scanned(rspamd.init, options, { chunks: LARGE });
      assert.equal(it.refusal, null);
      assert.match(JSON.stringify(it.lines), /nothing has come from it in 50 ms/);
    }
  });
});

/** When the whole request has come. */
function answering(answer: string, hangsUp = false): Script {
  return async (talk) => {
    for (let bytes = 1; !talk.received.subarray(-7).equals(Buffer.from("\r\n0\r\n\r\n")); bytes++)
      await talk.bytes(Math.max(bytes, talk.received.length + 1));
    talk.raw(answer);
    if (hangsUp) talk.hangUp();
  };
}
