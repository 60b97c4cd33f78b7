import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { basicCredentials } from "#shared/app/basic-auth.ts";

const basic = (text: string | Buffer): string => `Basic ${Buffer.from(text).toString("base64")}`;

describe("Basic auth", () => {
  test("is read back as it was written, whatever the name and the password are", () => {
    const name = fc.string({ minLength: 1, unit: "grapheme" }).filter((text) => !text.includes(":"));
    fc.assert(
      fc.property(name, fc.string({ minLength: 1, unit: "grapheme" }), (user, password) => {
        assert.deepEqual(basicCredentials(basic(`${user}:${password}`)), { user, password });
      }),
    );
  });

  test("ends the name at the first colon, and its own name may be in any case", () => {
    assert.deepEqual(basicCredentials(basic("a:b:c").replace("Basic", "bAsIc  ")), {
      user: "a",
      password: "b:c",
    });
  });

  for (const [what, header] of [
    ["another scheme", `Bearer ${btoa("a:b")}`],
    ["no base64", "Basic a:b"],
    ["two texts", `${basic("a:b")} x`],
    ["no colon", basic("ab")],
    ["no name", basic(":b")],
    ["no password", basic("a:")],
    ["nothing", "Basic "],
    ["no UTF-8", basic(Buffer.from("c3a43a62ff", "hex"))],
  ] as const) {
    test(`is none with ${what}`, () => {
      assert.equal(basicCredentials(header), null);
    });
  }
});
