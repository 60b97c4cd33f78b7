/**
 * Bytes at the feeder: commands in any order, halves of them, noise, cut anywhere. Whatever comes, each line it answers is the
 * line of a reply, it closes when the client has closed, and the next client is served.
 * The seed is printed; FUZZ_SEED=<seed> runs the same again, FUZZ_MS=<milliseconds> for longer.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";

import fc from "fast-check";

import type { SmtpInterface } from "#shared/domain/config.ts";
import { KIB, SECOND } from "#shared/domain/units.ts";
import { collectingSubmit, testFeeder } from "../support/feeder-harness.ts";
import { proxyV2 } from "../support/proxy-header.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";
import { TEST_CERT, TEST_KEY } from "../support/test-certificate.ts";

const SEED = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 31);
const FUZZ_MS = Number(process.env["FUZZ_MS"] ?? 2 * SECOND);

const BATCH = 50;

const WORDS = [
  "EHLO client.example\r\n",
  "HELO x\r\n",
  "MAIL FROM:<a@one.example>\r\n",
  "MAIL FROM:<> SIZE=5 BODY=8BITMIME SMTPUTF8\r\n",
  "RCPT TO:<b@two.example>\r\n",
  "RCPT TO:<j\xc3\xb5@two.example>\r\n",
  "DATA\r\n",
  "Subject: x\r\n\r\n",
  "\r\n.\r\n",
  ".\r\n",
  "..\r\n",
  "\n.\n",
  "\r.\r",
  "RSET\r\n",
  "NOOP\r\n",
  "VRFY x\r\n",
  "QUIT\r\n",
  "AUTH PLAIN\r\n",
  "AUTH LOGIN =\r\n",
  "AUTH XOAUTH2 e30=\r\n",
  "*\r\n",
  "STARTTLS\r\n",
  "XCLIENT ADDR=[UNAVAILABLE]\r\n",
  "XCLIENT ADDR=192.0.2.7 NAME=c.example\r\n",
  "XCLIENT LOGIN=anna\r\n",
  "XFORWARD ADDR=IPv6:2001:db8::7 HELO=x+20y\r\n",
  "LHLO x\r\n",
  "GET / HTTP/1.1\r\n",
  "PROXY UNKNOWN\r\n",
  "\0",
  "\xff\xfe\r\n",
  "x".repeat(1_000),
  `NOOP ${"y".repeat(17 * KIB)}\r\n`,
];

/** Mostly what a client could mean, with noise in between. */
const session = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...WORDS).map((word) => Buffer.from(word, "latin1")) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
  ),
  { maxLength: 30 },
);
/** Where the stream is cut into segments. */
const cuts = fc.array(fc.nat({ max: 2_000 }), { maxLength: 5 });

const REPLY = /^(?:[2-5]\d\d[ -][\x20-\x7e]*)$/;
/** A code with an enhanced code of another class, or two of them. */
const WRONG_CODE =
  /^(?:2\d\d.[45]\.\d+\.\d+ |4\d\d.[25]\.\d+\.\d+ |5\d\d.[24]\.\d+\.\d+ |\d{3}.(?:\d\.\d+\.\d+ ){2})/;

/** Say it, close our side, and read all that comes until the server closes. */
async function exchange(port: number, bytes: Buffer, cutPlaces: readonly number[]): Promise<string> {
  using talker = SmtpTalker.connect(port);
  const places = cutPlaces.map((place) => Math.min(place, bytes.length)).toSorted((a, b) => a - b);
  let from = 0;
  for (const to of [...places, bytes.length]) {
    // a server that has closed already does not take the rest
    if (to > from) await talker.writeAll(bytes.subarray(from, to)).catch(() => undefined);
    from = to;
  }
  talker.end();
  return await talker.closed();
}

function assertReplies(text: string): void {
  const [clear = ""] = text.split(/(?<=^220 2\.0\.0 .*\r\n)/m); // behind the answer to STARTTLS are TLS records
  const lines = clear.split("\r\n");
  assert.equal(lines.pop(), "", "the last line is whole");
  for (const line of lines) {
    assert.match(line, REPLY);
    assert.doesNotMatch(line, WRONG_CODE);
  }
}

async function fuzz(
  context: TestContext,
  settings: Partial<SmtpInterface>,
  { before = fc.constant(Buffer.alloc(0)), greeting }: { before?: fc.Arbitrary<Buffer>; greeting: Buffer },
): Promise<void> {
  context.diagnostic(`seed ${SEED}`);
  const { submit } = collectingSubmit({ keep: false });
  await using feeder = await testFeeder({ submit, settings: { maxSize: 100 * KIB, ...settings } });
  const property = fc.asyncProperty(before, session, cuts, async (first, words, cutPlaces) => {
    assertReplies(await exchange(feeder.port, Buffer.concat([first, ...words]), cutPlaces));
  });
  const until = Date.now() + FUZZ_MS;
  let runs = 0;
  do {
    // no time limit of fast-check's: it would break off a session that hangs, and call that well
    await fc.assert(property, { seed: SEED + runs, numRuns: BATCH, endOnFailure: true });
    runs += BATCH;
  } while (Date.now() < until);
  context.diagnostic(`${runs} sessions`);
  const after = await exchange(feeder.port, Buffer.concat([greeting, Buffer.from("EHLO x\r\nQUIT\r\n")]), []);
  assert.match(after, /^220 [^]*\r\n221 2\.0\.0 Bye\r\n$/);
}

describe("bytes at the feeder", () => {
  const tls = { key: TEST_KEY, cert: TEST_CERT, ca: null };
  const nothing = Buffer.alloc(0);

  test("get replies or an end", (context) => fuzz(context, { tls, starttls: true }, { greeting: nothing }));

  test("get replies or an end where AUTH is asked for", (context) =>
    fuzz(context, { authentication: true, allowInsecureAuth: true }, { greeting: nothing }));

  test("get replies or an end from behind a load balancer", (context) => {
    const header = proxyV2({ ip: "192.0.2.7", port: 1 });
    const before = fc.oneof(
      fc.constantFrom(header, Buffer.from("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"), header.subarray(0, 20)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    );
    return fuzz(context, { proxyFrom: ["127.0.0.1"] }, { before, greeting: header });
  });

  test("get replies or an end from a proxy that speaks for others, by LMTP", (context) => {
    const peers = ["127.0.0.1"];
    const before = fc.constant(Buffer.from("LHLO proxy.example\r\n"));
    return fuzz(
      context,
      { lmtp: true, xclientFrom: peers, xforwardFrom: peers },
      { before, greeting: nothing },
    );
  });
});
