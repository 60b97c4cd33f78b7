import assert from "node:assert/strict";
import { test } from "node:test";

import { NO_CAPABILITIES, parseCapabilities } from "../../../sender/delivery/capabilities.ts";

test("keywords are read without regard to case", () => {
  const read = parseCapabilities([
    "mx",
    "pipelining",
    "8BitMime",
    "SmtpUtf8",
    "starttls",
    "Auth plain LOGIN",
  ]);
  assert.deepEqual(read, {
    esmtp: true,
    pipelining: true,
    size: false,
    maxBytes: null,
    eightBitMime: true,
    smtputf8: true,
    starttls: true,
    auth: new Set(["PLAIN", "LOGIN"]),
  });
});

test("the first line is a name, whatever it says", () => {
  assert.deepEqual(parseCapabilities(["PIPELINING"]), { ...NO_CAPABILITIES, esmtp: true });
});

test("SIZE has a limit only when it names one above zero", () => {
  for (const [line, size, maxBytes] of [
    ["SIZE 35882577", true, 35_882_577],
    ["SIZE  10 ", true, 10],
    ["SIZE", true, null],
    ["SIZE 0", true, null],
    ["SIZE -1", true, null],
    ["SIZE 1e3", true, null],
    ["SIZED 10", false, null],
  ] as const) {
    const read = parseCapabilities(["mx", line]);
    assert.deepEqual([read.size, read.maxBytes], [size, maxBytes], line);
  }
});

test("AUTH is read in its old form too, and over several lines", () => {
  const read = parseCapabilities(["mx", "AUTH=LOGIN PLAIN", "AUTH CRAM-MD5"]);
  assert.deepEqual([...read.auth], ["LOGIN", "PLAIN", "CRAM-MD5"]);
});
