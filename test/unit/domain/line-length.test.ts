import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { refuseLongLines } from "#shared/domain/line-length.ts";

import { chunksOf, collect } from "../../support/bytes.ts";

test("lines of up to 998 octets pass as they are, and one of 999 does not, however the chunks are cut", async () => {
  const lengths = fc.array(fc.constantFrom(0, 1, 500, 997, 998), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(lengths, fc.array(fc.nat({ max: 4_000 })), fc.boolean(), async (lines, cuts, isLong) => {
      const all = isLong ? [...lines, 999, 3] : lines;
      const bytes = Buffer.from(all.map((length) => `${"x".repeat(length)}\r\n`).join(""));
      const passed = collect(refuseLongLines(chunksOf(bytes, cuts)));
      if (isLong)
        await assert.rejects(passed, { name: "DomainError", code: "invalid-body", message: /"xxx/ });
      else assert.deepEqual(await passed, bytes);
    }),
  );
});
