import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/define-config.ts";
import { TEST_CERT, TEST_KEY } from "../../support/test-certificate.ts";

const parse = (input: ConfigInput) => parseConfig(input, { source: null, baseDir: "/" });
const pair = { key: TEST_KEY, cert: TEST_CERT };

function refusal(input: unknown): string {
  try {
    parseConfig(input, { source: "c.ts", baseDir: "/" });
  } catch (error) {
    assert.ok(error instanceof DomainError, String(error));
    return error.message.replace("c.ts: ", "");
  }
  throw new Error("was not refused");
}

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
      assert.equal(refusal({ smtpInterfaces: { a: input } }), `smtpInterfaces.a.${line}`);
    });
  }
});

describe("a server of the operator's", () => {
  test("is not asked unless it is enabled", () => {
    const url = "http://127.0.0.1:8080/";
    const config = parse({ plugins: { "core/http-auth": { url }, "core/http-config": { url } } });
    assert.deepEqual([config.httpAuth, config.httpConfig], [null, null]);
  });

  test("is asked where it is, with bounds that have defaults", () => {
    const plugin = { enabled: "receiver" as const, url: "https://auth.example/login?app=1" };
    const config = parse({ plugins: { "core/http-auth": plugin, "core/http-config": plugin } });
    assert.deepEqual(config.httpAuth, { url: plugin.url, timeoutMs: 10 * SECOND, cacheMs: 30 * SECOND });
    assert.deepEqual(config.httpConfig, { url: plugin.url, timeoutMs: 10 * SECOND, cacheMs: 0 });
  });

  test("has to be named when it is enabled", () => {
    for (const name of ["core/http-auth", "core/http-config"]) {
      assert.equal(
        refusal({ plugins: { [name]: { enabled: true } } }),
        `plugins["${name}"].url: is missing: which server is to be asked?`,
      );
    }
  });
});

describe("core/api-send", () => {
  const limit = (input: ConfigInput) => parse(input).api.maxRecipients;

  test("limits the recipients of a mail by HTTP when it is enabled, to 100 unless told", () => {
    assert.equal(limit({}), 1_000);
    assert.equal(limit({ plugins: { "core/api-send": { maxRecipients: 5 } } }), 1_000);
    assert.equal(limit({ plugins: { "core/api-send": { enabled: true } } }), 100);
    assert.equal(limit({ plugins: { "core/api-send": { enabled: true, maxRecipients: 5 } } }), 5);
  });

  test("never allows more than api.maxRecipients", () => {
    const plugins = { "core/api-send": { enabled: true, maxRecipients: 50 } };
    assert.equal(limit({ api: { maxRecipients: 20 }, plugins }), 20);
  });
});
