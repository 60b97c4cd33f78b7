import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { csvLine, csvReader, readCsv } from "#shared/domain/csv.ts";
import { DomainError } from "#shared/domain/errors.ts";

describe("CSV", () => {
  test("reads fields with and without quotes, whatever ends a line", () => {
    const text = '\ufeffa,"b,""c""\r\nd",\r\n\n1,2\r"",x';
    assert.deepEqual(readCsv(text), [
      ["a", 'b,"c"\r\nd', ""],
      ["1", "2"],
      ["", "x"],
    ]);
    assert.deepEqual(readCsv(""), []);
  });

  test("what is written is read as it was, in whatever pieces it comes", () => {
    const records = fc.array(fc.array(fc.string({ unit: "binary" }), { minLength: 1, maxLength: 4 }), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(records, fc.nat(20), (written, pieces) => {
        const kept = written.filter((record) => record.length > 1 || record[0] !== "");
        const text = kept.map(csvLine).join("");
        const reader = csvReader();
        const read: string[][] = [];
        const size = Math.max(1, Math.ceil(text.length / (pieces + 1)));
        for (let at = 0; at < text.length; at += size) read.push(...reader.push(text.slice(at, at + size)));
        read.push(...reader.end());
        assert.deepEqual(read, kept);
      }),
    );
  });

  test("what is no CSV is the caller's mistake", () => {
    for (const text of ['"open', '"a"b', "x".repeat(70_000)]) assert.throws(() => readCsv(text), DomainError);
  });
});
