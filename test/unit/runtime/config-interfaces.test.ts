import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parse, refusal } from "../../support/config.ts";
import { TEST_CERT, TEST_KEY } from "../../support/test-certificate.ts";

const pair = { key: TEST_KEY, cert: TEST_CERT };

describe("SMTP interfaces", () => {
  test("that are given replace the built-in one, and disabled ones are left out", () => {
    const { smtpInterfaces } = parse({ smtpInterfaces: { a: { port: 2600 }, b: { enabled: false } } });
    assert.deepEqual(
      smtpInterfaces.map(({ name }) => name),
      ["a"],
    );
  });

  test("believe the PROXY header of listed peers only, blocks included", () => {
    const useProxy = ["192.0.2.1", "2001:DB8::/32", "::ffff:0:0/96"];
    const [feeder] = parse({ smtpInterfaces: { feeder: { useProxy } } }).smtpInterfaces;
    assert.deepEqual(feeder?.proxyFrom, ["192.0.2.1", "2001:db8::/32", "::ffff:0.0.0.0/96"]);
  });
});

describe("an SMTP interface", () => {
  test("believes nobody's XCLIENT and XFORWARD and speaks SMTP, unless told", () => {
    const [feeder] = parse({}).smtpInterfaces;
    assert.deepEqual(
      [feeder?.xclientFrom, feeder?.xforwardFrom, feeder?.lmtp, feeder?.certificates.size],
      [[], [], false, 0],
    );
    const off = parse({ smtpInterfaces: { a: { useXClient: false, useXForward: false } } });
    assert.deepEqual(off.smtpInterfaces[0]?.xclientFrom, []);
  });

  test("may have a host name of its own, and offer AUTH without asking for it", () => {
    const a = { hostname: "SMTP.Example", authentication: true, authOptional: true, allowInsecureAuth: true };
    const [feeder] = parse({ smtpInterfaces: { a } }).smtpInterfaces;
    assert.deepEqual(
      [feeder?.hostname, feeder?.authentication, feeder?.authOptional],
      ["smtp.example", true, true],
    );
  });

  test("believes the peers that are listed", () => {
    const a = { useXClient: ["192.0.2.1", "2001:DB8::/32"], useXForward: ["192.0.2.2"] };
    const [feeder] = parse({ smtpInterfaces: { a } }).smtpInterfaces;
    assert.deepEqual(feeder?.xclientFrom, ["192.0.2.1", "2001:db8::/32"]);
    assert.deepEqual(feeder?.xforwardFrom, ["192.0.2.2"]);
  });

  test("has certificates by server name, in one spelling", () => {
    const a = { starttls: true, ...pair, sniOptions: { "SMTP.Jõgeva.ee": pair, "*.Example.org": pair } };
    const [feeder] = parse({ smtpInterfaces: { a } }).smtpInterfaces;
    assert.deepEqual([...(feeder?.certificates.keys() ?? [])], ["smtp.xn--jgeva-dua.ee", "*.example.org"]);
    assert.deepEqual(feeder?.certificates.get("*.example.org"), { ...pair, ca: null });
  });

  const wrong: [input: unknown, line: string][] = [
    [
      { useXClient: true },
      'useXClient: expected the list of those whose XCLIENT is believed, such as ["192.0.2.1"]; true would believe every peer about where it comes from',
    ],
    [
      { useXForward: true },
      'useXForward: expected the list of those whose XFORWARD is believed, such as ["192.0.2.1"]; true would believe every peer about where it comes from',
    ],
    [{ authOptional: true }, "authOptional: is of no use without authentication: true, which offers AUTH"],
    [{ lmtp: true, port: 25 }, "port: is the port of SMTP; choose another one for LMTP"],
    [
      { starttls: true, ...pair, sniOptions: { "192.0.2.1": pair } },
      'sniOptions["192.0.2.1"]: expected a server name, or *. and a domain, as the key',
    ],
    [{ sniOptions: { "a.example": pair } }, "sniOptions: is of no use without TLS; set starttls or secure"],
    [
      { starttls: true, ...pair, sniOptions: { "a.example": { ...pair, cert: "/none.pem" } } },
      'sniOptions["a.example"].cert: cannot read /none.pem: no such file',
    ],
    [
      { starttls: true, ...pair, sniOptions: { "a.example": pair, "A.EXAMPLE": pair } },
      'sniOptions["A.EXAMPLE"]: a.example is here twice',
    ],
    [{ useXCLIENT: [] }, "useXCLIENT: unknown key; did you mean useXClient?"],
  ];
  for (const [input, line] of wrong) {
    test(`is refused: ${line.slice(0, 60)}`, () => {
      assert.deepEqual(refusal({ smtpInterfaces: { a: input } }), [`smtpInterfaces.a.${line}`]);
    });
  }
});
