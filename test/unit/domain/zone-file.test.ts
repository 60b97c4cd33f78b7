import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { txtStrings, zoneLine } from "#shared/domain/zone-file.ts";
import { parseZoneFile } from "../../support/zone-parser.ts";

describe("a line of a zone file", () => {
  test("says the same to a reader that knows the RFC, whatever a text record holds", () => {
    const text = fc
      .string({ unit: "binary", maxLength: 700 })
      .filter((value) => Buffer.from(value).length > 0);
    fc.assert(
      fc.property(text, (value) => {
        const [record, ...more] = parseZoneFile(zoneLine({ name: "a.example", type: "TXT", value }));
        assert.equal(more.length, 0);
        const bytes = Buffer.from(record?.data.join("") ?? "", "latin1");
        assert.deepEqual(bytes, Buffer.from(value));
      }),
    );
  });

  test("of a text over 255 bytes has several strings, none of which is longer", () => {
    assert.deepEqual(
      txtStrings("x".repeat(600)).map(({ length }) => length),
      [255, 255, 90],
    );
    assert.deepEqual(txtStrings(""), [""]);
  });

  test("of a mail host has its preference, and every name is whole", () => {
    const line = zoneLine({ name: "b.example", type: "MX", preference: 10, value: "mx.example" });
    assert.deepEqual(parseZoneFile(line), [
      { name: "b.example.", ttl: 3600, type: "MX", data: ["10", "mx.example."] },
    ]);
  });
});
