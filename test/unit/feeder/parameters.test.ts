import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { MIB } from "#shared/domain/units.ts";
import { readMail, readRcpt } from "../../../sender/feeder/parameters.ts";

const limits = { maxBytes: 10 * MIB };
const rcptContext = { smtputf8: false, hostname: "mx.test" };

/** Pieces of commands, so that chance comes near to real ones. */
const commandText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "MAIL FROM:",
        "RCPT TO:",
        "<",
        ">",
        "a@b.example",
        '"',
        "\\",
        " ",
        "SIZE=1",
        "BODY=7BIT",
        "=",
        "@",
        ":",
      ),
      fc.string({ unit: "binary", maxLength: 4 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(""));

describe("MAIL and RCPT", () => {
  test("are read or refused with a code of the right class, whatever they say", () => {
    fc.assert(
      fc.property(commandText, (text) => {
        for (const read of [readMail(text, limits), readRcpt(text, rcptContext)]) {
          if (read.ok) continue;
          assert.ok(read.reply.code >= 500 && read.reply.code < 600);
          assert.match(read.reply.text, /^5\.\d+\.\d+ [\x20-\x7e]+$/);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  test("are refused at any length, with no search that runs away", () => {
    const quotes = `MAIL FROM:<${'"a'.repeat(8_000)}`;
    const blanks = `MAIL FROM:${" ".repeat(16_000)}x`;
    const routes = `RCPT TO:<${"@a,".repeat(5_000)}x>`;
    for (const line of [quotes, blanks, routes]) {
      assert.equal(readMail(line, limits).ok, false);
      assert.equal(readRcpt(line, rcptContext).ok, false);
    }
  });

  test("give the null return path as null", () => {
    assert.deepEqual(readMail("MAIL FROM:<>", limits), { ok: true, returnPath: null, smtputf8: false });
    assert.deepEqual(readMail("mail from:<> SMTPUTF8", limits), {
      ok: true,
      returnPath: null,
      smtputf8: true,
    });
  });

  test("take SIZE up to the limit and not a byte more", () => {
    assert.equal(readMail(`MAIL FROM:<> SIZE=${limits.maxBytes}`, limits).ok, true);
    const over = readMail(`MAIL FROM:<> SIZE=${limits.maxBytes + 1}`, limits);
    assert.equal(over.ok ? 0 : over.reply.code, 552);
  });

  test("let mail for postmaster without a domain come to our own name", () => {
    assert.deepEqual(readRcpt("RCPT TO:<POSTMASTER>", rcptContext), {
      ok: true,
      recipient: "POSTMASTER@mx.test",
    });
  });
});
