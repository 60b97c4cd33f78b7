import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as clamav from "#shared/core-plugins/clamav.ts";
import {
  assertOutage,
  CHUNK,
  inTwoHalves,
  pluginOptions,
  replyOf,
  SCANNED_MAIL,
  scanned,
} from "../../support/scanned.ts";
import { scriptedPeer } from "../../support/scripted-peer.ts";
import type { Script, Talk } from "../../support/scripted-peer.ts";

/** More than a connection's buffers hold. */
const LARGE = Array.from({ length: 256 }, () => CHUNK);
/** So long that no test waits for it. */
const LONG_MS = 20_000;
const SHORT_MS = 50;

const optionsOf = (given: object) => pluginOptions("core/clamav", given);

/** Reads one whole mail as INSTREAM has it. */
async function readMail(talk: Talk): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let at = "zINSTREAM\0".length; ;) {
    await talk.bytes(at + 4);
    const bytes = talk.received.readUInt32BE(at);
    at += 4;
    if (bytes === 0) return Buffer.concat(parts);
    await talk.bytes(at + bytes);
    parts.push(talk.received.subarray(at, at + bytes));
    at += bytes;
  }
}

function saying(reply: string): Script {
  return async (talk) => {
    await readMail(talk);
    talk.raw(reply);
    talk.hangUp();
  };
}

describe("core/clamav", { timeout: 30_000 }, () => {
  test("shows clamd the mail as it is and takes what is clean, with the verdict on the envelope", async () => {
    let seen = "";
    await using clamd = await scriptedPeer(async (talk) => {
      seen = (await readMail(talk)).toString();
      talk.raw("stream: OK\0");
    });
    const chunks = SCANNED_MAIL.split("").map((letter) => Buffer.from(letter));
    const it = await scanned(clamav.init, optionsOf({ port: clamd.port }), { chunks });
    assert.equal(it.refusal, null);
    assert.deepEqual(it.envelope["virus"], { clean: true, response: "OK" });
    assert.equal(seen, SCANNED_MAIL);
    assert.equal(it.bytes.toString(), SCANNED_MAIL);
    assert.equal(clamd.talks[0]?.received.subarray(0, 10).toString(), "zINSTREAM\0");
  });

  test("refuses a virus with 550, and names it in the log", async () => {
    await using clamd = await scriptedPeer(saying("stream: Eicar-Test FOUND\0"));
    const it = await scanned(clamav.init, optionsOf({ port: clamd.port }));
    assert.deepEqual(replyOf(it.refusal), [
      550,
      "5.7.1 This message contains a virus and may not be delivered",
    ]);
    assert.match(
      JSON.stringify(it.lines),
      /"event":"VIRUSCHECK".*"result":"infected","response":".*Eicar-Test FOUND"/,
    );
  });

  test("looks at mail of its interfaces alone, and at none from an address to ignore", async () => {
    await using clamd = await scriptedPeer(saying("stream: Eicar-Test FOUND\0"));
    const { port } = clamd;
    const refusals = async (options: object, fields: object): Promise<boolean> =>
      (await scanned(clamav.init, optionsOf({ port, ...options }), { fields })).refusal !== null;
    assert.equal(await refusals({}, { interface: "api" }), false);
    assert.equal(await refusals({ interfaces: ["api"] }, { interface: "api" }), true);
    assert.equal(await refusals({ interfaces: ["*"] }, { interface: "other" }), true);
    assert.equal(await refusals({ ignoreOrigins: ["192.0.2.7"] }, {}), false);
    assert.equal(await refusals({ ignoreOrigins: ["192.0.2.8"] }, {}), true);
    assert.equal(clamd.talks.length, 3);
  });

  const OUTAGES: Readonly<Record<string, Script>> = {
    "hangs up at once": async (talk) => talk.hangUp(),
    "cuts the connection": async (talk) => talk.reset(),
    "hangs up when it has the mail": saying(""),
    "says half an answer": saying("stream: O"),
    "says something else": saying("HTTP/1.1 400 Bad Request\r\n\r\n\0"),
    "says an error": saying("stream: Can't allocate memory ERROR\0"),
    "never ends its answer": saying("x".repeat(5_000)),
  };
  for (const [what, script] of Object.entries(OUTAGES))
    test(`a clamd that ${what} is an outage: taken or put off as configured`, async () => {
      await using clamd = await scriptedPeer(script);
      const options = (fields = {}) => optionsOf({ port: clamd.port, timeout: LONG_MS, ...fields });
      await assertOutage(clamav.init, { options, verdict: "virus", event: "VIRUSCHECK" });
    });

  test("one that says OK before it has the whole mail has not scanned it", async () => {
    const givenUp = Promise.withResolvers<void>();
    await using clamd = await scriptedPeer(async (talk) => {
      talk.raw("stream: OK\0");
      await talk.end();
      givenUp.resolve();
    });
    const options = optionsOf({ port: clamd.port, onFailure: "defer", timeout: LONG_MS });
    const it = await scanned(clamav.init, options, { chunks: inTwoHalves(givenUp.promise) });
    assert.equal(replyOf(it.refusal)[0], 451);
    assert.match(JSON.stringify(it.lines), /before it has seen the whole mail/);
  });

  test("waits no longer than its time for one that says nothing, or takes nothing", async () => {
    await using silent = await scriptedPeer(async (talk) => talk.end());
    await using deaf = await scriptedPeer(async (talk) => talk.deafen());
    for (const [clamd, chunks] of [
      [silent, undefined],
      [deaf, LARGE],
    ] as const) {
      const options = optionsOf({ port: clamd.port, timeout: SHORT_MS });
      const it = await scanned(clamav.init, options, chunks ? { chunks } : {});
      assert.equal(it.refusal, null);
      assert.match(JSON.stringify(it.lines), /nothing has come from it in 50 ms/);
    }
  });

  test("one that is not there is an outage", async () => {
    const gone = await scriptedPeer(async () => undefined);
    await gone[Symbol.asyncDispose]();
    const it = await scanned(clamav.init, optionsOf({ port: gone.port, onFailure: "defer" }));
    assert.equal(replyOf(it.refusal)[0], 451);
  });

  test("mail over maxSize, or over clamd's own limit, is taken unseen or refused as configured", async () => {
    await using clamd = await scriptedPeer(saying("INSTREAM size limit exceeded. ERROR\0"));
    for (const maxSize of [SCANNED_MAIL.length - 1, SCANNED_MAIL.length]) {
      const given = { port: clamd.port, maxSize };
      assert.equal((await scanned(clamav.init, optionsOf(given))).refusal, null);
      const closed = await scanned(clamav.init, optionsOf({ ...given, onFailure: "defer" }));
      assert.deepEqual(replyOf(closed.refusal), [
        552,
        "5.3.4 This message is too large to be scanned for viruses",
      ]);
    }
  });

  test("a mail that breaks off ends its scan", async () => {
    const over = Promise.withResolvers<void>();
    await using clamd = await scriptedPeer(async (talk) => {
      await talk.end();
      over.resolve();
    });
    const broken = scanned(clamav.init, optionsOf({ port: clamd.port, timeout: LONG_MS }), {
      chunks: [Buffer.from(SCANNED_MAIL), null as unknown as Buffer],
    });
    await assert.rejects(broken);
    await over.promise;
  });
});

test("core/clamav gives its hooks more time than clamd has", () => {
  assert.equal(optionsOf({})["hookTimeout"], 25_000);
  assert.equal(optionsOf({ timeout: 60_000, hookTimeout: 1 })["hookTimeout"], 65_000);
});
