import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { readAttributes, XCLIENT_NAMES, XFORWARD_NAMES } from "../../../sender/feeder/client-attributes.ts";

const read = (line: string, names: readonly string[]) => {
  const answer = readAttributes(line, names);
  return answer.ok ? answer.attributes : answer.fault;
};
const xclient = (rest: string) => read(`XCLIENT ${rest}`, XCLIENT_NAMES);

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

  const wrong: Readonly<Record<string, string>> = {
    "": "no attributes",
    ADDR: "ADDR",
    "ADDR=999.1.1.1": "ADDR",
    "ADDR=client.example": "ADDR",
    "NAME=a..b": "NAME",
    "NAME=[192.0.2.1]": "NAME",
    "PORT=-1": "PORT",
    "PORT=65536": "PORT",
    "LOGIN=ab+0D+0Acd": "LOGIN",
    "LOGIN=a+4": "LOGIN",
    "LOGIN=a+zz": "LOGIN",
    "LOGIN=a+C3": "LOGIN",
    "LOGIN=a=b": "LOGIN",
    "ADDR=192.0.2.1 ADDR=192.0.2.2": "ADDR",
    "IDENT=7": "IDENT",
    "ADDR=192.0.2.1 nonsense": "nonsense",
    [`HELO=${"x".repeat(256)}`]: "HELO",
    [`ADDR=192.0.2.1 ${"y".repeat(500)}`]: "y".repeat(40),
  };
  for (const [rest, fault] of Object.entries(wrong)) {
    test(`are refused as a whole, by the name of what is wrong: ${JSON.stringify(rest.slice(0, 40))}`, () => {
      assert.equal(xclient(rest), fault);
    });
  }

  test("never carry a control character, whatever is sent", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const answer = readAttributes(`XCLIENT HELO=${text} LOGIN=${text}`, XCLIENT_NAMES);
        for (const value of Object.values(answer.ok ? answer.attributes : {}))
          assert.doesNotMatch(String(value), /\p{Cc}/u);
      }),
    );
  });
});

test("XFORWARD has attributes of its own, and no LOGIN", () => {
  assert.deepEqual(read("XFORWARD IDENT=7 SOURCE=REMOTE ADDR=192.0.2.7", XFORWARD_NAMES), {
    ip: "192.0.2.7",
  });
  assert.equal(read("XFORWARD LOGIN=anna", XFORWARD_NAMES), "LOGIN");
});
