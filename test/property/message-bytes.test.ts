/** What must hold for any bytes: cuts do not matter, nothing is lost, nothing injects. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";

import fc from "fast-check";

import { RelaxedBodyHasher } from "#shared/domain/dkim-body.ts";
import { composeDsn } from "#shared/domain/dsn.ts";
import { decodeWords } from "#shared/domain/encoded-words.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { headerLine, headerValue, parseHeaders } from "#shared/domain/headers.ts";
import { rowIdOf } from "#shared/domain/ids.ts";
import { intake } from "#shared/domain/intake.ts";
import type { IntakeOptions, IntakeResult } from "#shared/domain/intake.ts";
import { parseMailDate, printMailDate } from "#shared/domain/mail-date.ts";
import { receivedHeader } from "#shared/domain/received.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import { address, attempt, message } from "../support/builders.ts";
import { chunksOf, collect } from "../support/bytes.ts";
import { relaxedBody } from "../support/verify-dkim.ts";

const OPTIONS: IntakeOptions = {
  maxBytes: 4_000,
  maxHeaderBytes: 1_500,
  maxHops: 2,
  bareNewlines: "refuse",
  dkim: true,
  addMissing: ["message-id", "date", "to", "mime-version"],
  messageIdDomain: "sender.example",
  newMessageIdLocal: () => "made",
  onlyRecipient: null,
  originatingIp: "192.0.2.7",
  now: Date.UTC(2026, 10, 20) as EpochMs,
};

/** Pieces that mail is made of, so that borders of all kinds meet. */
const piece = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      "\r\n",
      "\r\n\r\n",
      " ",
      "\t",
      "a",
      ":",
      "From: a@b.example\r\n",
      "Bcc: x@y.example\r\n",
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "Received: x\r\n",
      "Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n",
      "\u{e4}",
      "\0",
      ".",
      "  ",
      "\r\n\r\n\r\n",
      " \r\n\t",
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom("x".repeat(990), "x".repeat(1_600), ` ${"y".repeat(500)}`) },
);
const bare = fc.constantFrom("\r", "\n", "\n\r", "\r\r\n");
const mailOf = (...pieces: readonly fc.Arbitrary<string>[]): fc.Arbitrary<Buffer> =>
  fc.array(fc.oneof(...pieces), { maxLength: 30 }).map((parts) => Buffer.from(parts.join("")));
const cuts = fc.array(fc.nat({ max: 4_200 }), { maxLength: 12 });

type Taken = { stored: Buffer; result: IntakeResult };

/** Null: refused. */
async function take(
  mail: Buffer,
  at: readonly number[],
  options: Partial<IntakeOptions> = {},
): Promise<Taken | null> {
  try {
    const pass = intake(chunksOf(mail, at), { ...OPTIONS, ...options });
    return { stored: await collect(pass.chunks), result: pass.result() };
  } catch (error) {
    if (error instanceof DomainError) return null;
    throw error;
  }
}

describe("intake", () => {
  for (const bareNewlines of ["refuse", "normalise"] as const) {
    test(`gives the same wherever the source is cut (${bareNewlines})`, async () => {
      await fc.assert(
        fc.asyncProperty(mailOf(piece, piece, bare), cuts, async (mail, at) => {
          const options = { bareNewlines };
          const whole = await take(mail, [], options);
          assert.deepEqual(await take(mail, at, options), whole);
          const everyByte = Array.from({ length: Math.min(mail.length, 600) }, (_, i) => i);
          assert.deepEqual(await take(mail, everyByte, options), whole);
        }),
        { numRuns: 300 },
      );
    });
  }

  test("what is stored has only CRLF, and its counts and hash are those of the bytes", async () => {
    await fc.assert(
      fc.asyncProperty(mailOf(piece, bare), cuts, async (mail, at) => {
        const taken = await take(mail, at, { bareNewlines: "normalise" });
        if (!taken) return;
        const { stored, result } = taken;
        const text = stored.toString("latin1");
        assert.doesNotMatch(text, /\r(?!\n)|(?<!\r)\n/);
        assert.ok(text.endsWith("\r\n"));
        assert.equal(result.body.bytes, stored.length);
        const content = text.slice(result.body.headerBytes);
        assert.ok(text.slice(0, result.body.headerBytes).endsWith("\r\n"));
        assert.equal(result.body.eightBit, /[^\x00-\x7f]/.test(content));
        const hash = createHash("sha256").update(relaxedBody(content), "latin1").digest("base64");
        assert.equal(result.body.dkimBodyHash, hash);
        const names = parseHeaders(stored.subarray(0, result.body.headerBytes)).map((header) => header.key);
        assert.ok(!names.includes("bcc"));
        for (const one of ["message-id", "x-originating-ip"]) {
          assert.equal(names.filter((name) => name === one).length, 1);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("a proper message with nothing to change passes byte for byte", async () => {
    const plain = {
      addMissing: [],
      originatingIp: null,
      maxHops: 1_000,
      maxBytes: 1e6,
      maxHeaderBytes: 1e6,
    } as const;
    await fc.assert(
      fc.asyncProperty(mailOf(piece), cuts, async (content, at) => {
        const body = content.length === 0 || content.toString("latin1").endsWith("\r\n") ? "" : "\r\n";
        const mail = Buffer.concat([Buffer.from("A: b\r\n c\r\n\r\n"), content, Buffer.from(body)]);
        assert.deepEqual((await take(mail, at, plain))?.stored, mail);
      }),
      { numRuns: 300 },
    );
  });
});

describe("the DKIM body hash", () => {
  test("is that of the canonical form, wherever the content is cut", () => {
    const content = fc
      .array(fc.constantFrom("\r", "\n", "\r\n", " ", "\t", "a", "\u{ff}", "\0", "\r\n\r\n"), {
        maxLength: 60,
      })
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(content, fc.array(fc.nat({ max: 70 }), { maxLength: 8 }), (text, at) => {
        const hasher = new RelaxedBodyHasher();
        const offsets = [0, ...at, text.length].toSorted((a, b) => a - b);
        const bytes = Buffer.from(text, "latin1");
        for (let i = 1; i < offsets.length; i++) hasher.update(bytes.subarray(offsets[i - 1], offsets[i]));
        const canonical = createHash("sha256").update(relaxedBody(text), "latin1").digest("base64");
        assert.equal(hasher.digest(), canonical);
      }),
      { numRuns: 3_000 },
    );
  });
});

/** Text with all that could break out of a header, a comment, a field or a MIME part. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "\r",
        "\n",
        "\r\n",
        "\0",
        "\u{2028}",
        "\u{2029}",
        "\u{85}",
        "\u{b}",
        ")",
        "(",
        "\\",
        '"',
        ";",
        ":",
        " ",
        "--",
        "\r\n\r\n",
        "\r\nX-Evil: 1",
        "\r\n--=_report_unique--\r\n",
        "\u{d800}",
        "=?utf-8?q?=0D=0AX:?=",
      ),
      fc.string({ unit: "binary", maxLength: 20 }),
      fc.constantFrom("z".repeat(1_100), "\u{1f4e7}".repeat(300)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(""));

function assertLines(text: string): void {
  assert.doesNotMatch(text, /\r(?!\n)|(?<!\r)\n/);
  for (const line of text.split("\r\n")) assert.ok(Buffer.byteLength(line) <= 998);
}

describe("headers we build", () => {
  test("read back as they were given, or were refused", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[!-9;-~]{1,77}$/),
        fc.oneof(hostile, fc.string({ unit: "grapheme", maxLength: 400 })),
        (name, value) => {
          let line: string;
          try {
            line = headerLine(name, value);
          } catch (error) {
            assert.ok(error instanceof DomainError && error.code === "invalid-header");
            return;
          }
          assertLines(line);
          const headers = parseHeaders(Buffer.from(`${line}End: 1\r\n\r\n`));
          assert.deepEqual(
            headers.map((header) => header.name),
            [name, "End"],
          );
          assert.equal(headerValue(headers[0] as never), value.replace(/^[ \t]+|[ \t]+$/g, ""));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("no name or value with a line break of any kind is taken", () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.constantFrom("\r", "\n", "\0", "\u{2028}", "\u{2029}", "\u{85}"),
        fc.string(),
        (before, bad, after) => {
          const refused = { code: "invalid-header" };
          assert.throws(() => headerLine("Subject", `${before}${bad}${after}`), refused);
          assert.throws(() => headerLine(`${before}${bad}${after}`, "x"), refused);
        },
      ),
    );
  });

  test("Received is one header whatever the client said", () => {
    fc.assert(
      fc.property(hostile, hostile, hostile, hostile, (helo, host, user, tls) => {
        const plain = message();
        const of = { ...plain, origin: { ...plain.origin, helo, host, user, tls } };
        const line = receivedHeader({
          message: of,
          hostname: "mx.example",
          name: "ZoneFleet",
          id: rowIdOf(of.id, 1),
          recipient: null,
        });
        assertLines(line);
        assert.match(line, /^[\t\r\n -~]+$/);
        assert.deepEqual(
          parseHeaders(Buffer.from(`${line}\r\n`)).map((header) => header.key),
          ["received"],
        );
        assert.equal(line.split(";").length, 2);
      }),
    );
  });
});

describe("DSN", () => {
  test("has three parts and no header of another's making, whatever peer and sender wrote", () => {
    const block = fc.oneof(hostile, mailOf(piece, bare)).map((raw) => Buffer.from(raw));
    fc.assert(
      fc.property(
        hostile,
        hostile,
        hostile,
        block,
        fc.boolean(),
        (said, subject, messageIdHeader, headerBlock, utf8) => {
          const recipient = address(utf8 ? "\u{fc}@dest.example" : "ben@dest.example");
          const reply = { code: 550, enhanced: null, text: said };
          const route = { mx: said, peer: null, egress: null };
          const report = composeDsn({
            kind: "failed",
            message: { ...message({ subject, messageIdHeader }), returnPath: address("anna@sender.example") },
            recipients: [
              {
                recipient,
                attempt: attempt({ kind: "bounced", cause: "reply", reply, detail: said, route }),
              },
            ],
            headerBlock,
            hostname: "mx.example",
            mailerDaemon: { name: "Mail Delivery Subsystem", address: "mailer-daemon@mx.example" },
            now: 0 as EpochMs,
            unique: "0123456789abcdef",
            retryUntil: null,
          });
          const text = report.toString("utf8");
          assertLines(text);
          assert.equal(text.split("\r\n--=_report_0123456789abcdef").length, 5);
          const [about, group] = (text.split("delivery-status\r\n")[1] ?? "").split("\r\n\r\n").slice(1);
          assert.match(about ?? "", /^Reporting-MTA: .*\r\nX-ZoneFleet-Queue-ID: .*\r\nArrival-Date: .*$/);
          const names = parseHeaders(Buffer.from(`${group}\r\n`)).map((header) => header.key);
          assert.deepEqual(names, [
            "final-recipient",
            "action",
            "status",
            "remote-mta",
            "diagnostic-code",
            "last-attempt-date",
          ]);
          assert.ok(!parseHeaders(report).some((header) => header.key.startsWith("x-evil")));
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("dates and words", () => {
  test("a printed date reads back to the second", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), (ms) => {
        assert.equal(parseMailDate(printMailDate(ms as EpochMs)), ms - (ms % 1_000));
      }),
    );
  });

  test("no text is too strange to be read as a date or as encoded words", () => {
    const strange = fc.array(
      fc.constantFrom("=?", "?=", "utf-8", "?q?", "?b?", "=C3", "(", ")", "1", " Nov ", "x-none", "?"),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(strange, (parts) => {
        const text = parts.join("");
        decodeWords(text);
        parseMailDate(text);
      }),
    );
  });
});
