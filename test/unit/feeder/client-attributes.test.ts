import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { readAttributes, XCLIENT_NAMES, XFORWARD_NAMES } from "../../../sender/feeder/client-attributes.ts";

const xclient = (rest: string) => readAttributes(`XCLIENT ${rest}`, XCLIENT_NAMES);

describe("the attributes of XCLIENT", () => {
  test("are read as Postfix writes them", () => {
    assert.deepEqual(
      xclient("NAME=Client.Example ADDR=192.0.2.7 PORT=4711 PROTO=ESMTP HELO=Laptop LOGIN=anna"),
      { host: "client.example", ip: "192.0.2.7", port: 4711, helo: "laptop", login: "anna" },
    );
    assert.deepEqual(xclient("addr=IPV6:2001:DB8::1"), { ip: "2001:db8::1" });
  });

  test("may be unknown, each", () => {
    assert.deepEqual(xclient("NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL] LOGIN="), {
      host: null,
      ip: null,
      login: null,
    });
  });

  test("are xtext, and decoded once", () => {
    assert.deepEqual(xclient("LOGIN=anna+40example.com"), { login: "anna@example.com" });
    assert.deepEqual(xclient("LOGIN=a+2B41"), { login: "a+41" });
    assert.deepEqual(xclient("LOGIN=j+C3+B5geva"), { login: "jõgeva" });
  });

  const wrong = [
    "",
    "ADDR",
    "ADDR=999.1.1.1",
    "ADDR=client.example",
    "NAME=a..b",
    "NAME=[192.0.2.1]",
    "PORT=-1",
    "PORT=123456",
    "LOGIN=ab+0D+0Acd",
    "LOGIN=a+4",
    "LOGIN=a+zz",
    "LOGIN=a+C3",
    "LOGIN=a=b",
    "ADDR=192.0.2.1 ADDR=192.0.2.2",
    "IDENT=7",
    "ADDR=192.0.2.1 nonsense",
    `HELO=${"x".repeat(256)}`,
  ];
  for (const rest of wrong) {
    test(`are refused as a whole: ${JSON.stringify(rest.slice(0, 40))}`, () => {
      assert.equal(xclient(rest), null);
    });
  }

  test("never carry a control character, whatever is sent", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const read = xclient(`HELO=${text} LOGIN=${text}`);
        for (const value of Object.values(read ?? {})) assert.doesNotMatch(String(value), /\p{Cc}/u);
      }),
    );
  });
});

test("XFORWARD has attributes of its own, and no LOGIN", () => {
  assert.deepEqual(readAttributes("XFORWARD IDENT=7 SOURCE=REMOTE ADDR=192.0.2.7", XFORWARD_NAMES), {
    ip: "192.0.2.7",
  });
  assert.equal(readAttributes("XFORWARD LOGIN=anna", XFORWARD_NAMES), null);
});
