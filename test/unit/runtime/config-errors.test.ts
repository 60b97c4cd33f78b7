/** What a wrong configuration is refused with: a line for each mistake, which says where it is and what to change. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { here, parse, refusal } from "../../support/config.ts";

describe("a wrong configuration is refused with what to change", () => {
  const cases: [input: unknown, line: string][] = [
    [
      { zones: { default: { conections: 5 } } },
      "zones.default.conections: unknown key; did you mean connections?",
    ],
    [{ queu: {} }, "queu: unknown key; did you mean queue?"],
    [
      { plugins: { "core/unheard": {} } },
      'plugins["core/unheard"]: unknown key; known here: core/default-headers, core/http-auth, core/http-config, core/api-send, core/srs, core/dkim, core/delivery-loop, core/email-bounce, core/http-bounce, core/clamav, core/rspamd, core/image-hashes, core/loop-breaker, core/limiter',
    ],
    [
      { plugins: { "core/rspamd": { enabled: true, urll: "http://127.0.0.1/" } } },
      'plugins["core/rspamd"].urll: unknown key; did you mean url?',
    ],
    [
      { plugins: { "core/clamav": { enabled: true, hots: "127.0.0.1" } } },
      'plugins["core/clamav"].hots: unknown key; did you mean host?',
    ],
    [
      { plugins: { "core/loop-breaker": { enabled: true } } },
      'plugins["core/loop-breaker"].secret: is missing: any text that nobody can guess',
    ],
    [
      { pools: { a: [{ addres: "192.0.2.1", address: "192.0.2.1" }] } },
      "pools.a[0].addres: unknown key; did you mean address?",
    ],
    [
      { zones: { a: { processes: 2 } } },
      "zones.a.processes: has no meaning here (the environment variable ZONEFLEET_PROCESSES says how many processes there are); remove it",
    ],
    [
      { zones: { default: { connections: "ten" } } },
      'zones.default.connections: expected a number, found "ten"',
    ],
    [
      { zones: { default: { connections: 1.5 } } },
      "zones.default.connections: expected a whole number, found 1.5",
    ],
    [{ zones: { default: { connections: 0 } } }, "zones.default.connections: expected at least 1, found 0"],
    [
      { zones: { default: { connections: null } } },
      "zones.default.connections: expected a number, found null",
    ],
    [
      { zones: { default: { throttling: "7" } } },
      'zones.default.throttling: expected a rate such as 100/minute, 20/second or 1000 messages/hour, found "7"',
    ],
    [
      { domainConfig: { default: { throttling: "0/minute" } } },
      'domainConfig.default.throttling: expected a rate such as 100/minute, 20/second or 1000 messages/hour, found "0/minute"',
    ],
    [
      { zones: { default: { poolHash: "sender" } } },
      'zones.default.poolHash: expected "message" or "from", found "sender"',
    ],
    [{ zones: { default: [] } }, "zones.default: expected an object, found a list of 0"],
    [{ queue: { deferTimes: [] } }, "queue.deferTimes: expected at least 1 entry, found a list of 0"],
    [{ api: { port: 65_536 } }, "api.port: expected at most 65535, found 65536"],
    [{ sandbox: "yes" }, 'sandbox: expected true or false or an object, found "yes"'],
    [
      { zones: { a: { pool: "mian" } }, pools: { main: [] } },
      'zones.a.pool: there is no pool "mian"; did you mean main?',
    ],
    [
      { queue: { defaultZone: "defualt" } },
      'queue.defaultZone: there is no zone "defualt"; did you mean default?',
    ],
    [
      { plugins: { "core/email-bounce": { sendingZone: "x" } } },
      'plugins["core/email-bounce"].sendingZone: there is no zone "x"; known here: default, bounces',
    ],
    [
      { plugins: { "core/default-headers": { allowRoutingHeaders: ["feder"] } } },
      'plugins["core/default-headers"].allowRoutingHeaders[0]: there is no interface "feder"; did you mean feeder?',
    ],
    [{ zones: { Bulk: {}, bulk: {} } }, 'zones.bulk: is the zone "Bulk" again: capitals make no difference'],
    [
      { zones: { "a.b": {} } },
      'zones["a.b"]: expected a name of letters, digits, hyphen and underscore (at most 48) as the key',
    ],
    [
      { pools: { a: [{ address: "192.0.2.1", ratio: 0 }] } },
      "pools.a: every ratio is 0, so no address could ever be used",
    ],
    [
      { pools: { a: [{ address: "192.0.2.1", ratio: 2 }, "192.0.2.2"] } },
      "pools.a: the ratios add up to 2, which leaves nothing for entries without one; give every entry a ratio",
    ],
    [{ pools: { a: ["192.0.2.1", "192.0.2.1"] } }, "pools.a[1]: 192.0.2.1 is in this pool already"],
    [
      { pools: { a: [{ address: "elastic" }] } },
      "pools.a[0].name: is missing: it says which Elastic IP is meant",
    ],
    [
      { pools: { a: [1, 2].map(() => ({ address: "elastic", name: "m1.example" })) } },
      "pools.a[1]: m1.example is in this pool already",
    ],
    [
      { pools: { a: [{ address: "elastc", name: "m1.example" }] } },
      'pools.a[0].address: expected an IP address or elastic, found "elastc"',
    ],
    [
      {
        pools: { default: [{ address: "elastic", name: "m1.example" }] },
        zones: { a: { pool: [{ address: "192.0.2.1", name: "m1.example" }] } },
      },
      "zones.a.pool: 192.0.2.1 has the name of an Elastic IP, m1.example",
    ],
    [{ pools: { a: ["0127.0.0.1"] } }, 'pools.a[0]: expected an IP address, found "0127.0.0.1"'],
    [{ pools: { a: [{ name: "x.example" }] } }, "pools.a[0].address: is missing: expected a string"],
    [{ hostname: "no host" }, 'hostname: expected a domain name, found "no host"'],
    [
      { domainConfig: { "no domain": {} } },
      'domainConfig["no domain"]: expected a domain name or default as the key',
    ],
    [
      { domainConfig: { "a.example": {}, "A.example": {} } },
      'domainConfig["A.example"]: a.example is here twice',
    ],
    [
      { dns: { nameservers: ["192.0.2.1:0"] } },
      'dns.nameservers[0]: expected an IP address, with or without a port (192.0.2.1:53, [2001:db8::1]:53), found "192.0.2.1:0"',
    ],
    [
      { zones: { a: { senderDomains: ["x.example"] }, b: { senderDomains: ["X.example"] } } },
      'zones.b.senderDomains: "x.example" leads to zone a already',
    ],
    [
      { zones: { a: { ignoreTLS: true, requireTLS: true } } },
      "zones.a.ignoreTLS: contradicts requireTLS; leave out one of them",
    ],
    [
      { zones: { a: { auth: { user: "u", pass: "p" } } } },
      "zones.a.auth: needs host: only a relay is logged in to",
    ],
    [
      { zones: { a: { host: "h.example", auth: { user: "u", pass: 12_345 } } } },
      "zones.a.auth.pass: expected a string, found a number",
    ],
    [
      { zones: { a: { host: "h.example", authMethod: "LOGIN" } } },
      "zones.a.authMethod: needs auth: nobody is logged in",
    ],
    [
      { zones: { a: { host: "h.example", credentials: "anywhere" } } },
      "zones.a.credentials: needs auth: nobody is logged in",
    ],
    [
      { zones: { a: { host: "h.example", http: "https://app.example/" } } },
      "zones.a.http: contradicts host; leave out one of them",
    ],
    [
      { zones: { a: { http: "ftp://app.example/" } } },
      'zones.a.http: expected an http or https URL, found "ftp://app.example/"',
    ],
    [{ zones: { a: { lmtp: true } } }, "zones.a.lmtp: needs host: mail hosts of the world speak SMTP"],
    [
      { zones: { a: { host: "h.example", lmtp: true } } },
      "zones.a.port: expected the port of the LMTP server, which is not 25",
    ],
    [
      { zones: { a: { secure: true } } },
      "zones.a.secure: needs host: mail hosts of the world speak STARTTLS on port 25",
    ],
    [
      { smtpInterfaces: { api: {} } },
      "smtpInterfaces.api: is the name of mail that comes another way; choose a different one",
    ],
    [
      { smtpInterfaces: { a: { useProxy: true } } },
      'smtpInterfaces.a.useProxy: expected the list of proxy addresses, such as ["192.0.2.1"]; true would believe every peer about where it comes from',
    ],
    [
      { smtpInterfaces: { a: { useProxy: ["192.0.2.1/33"] } } },
      'smtpInterfaces.a.useProxy[0]: expected an IP address or a block such as 192.0.2.0/24, found "192.0.2.1/33"',
    ],
    [
      { smtpInterfaces: { a: { banner: "a\r\nb" } } },
      String.raw`smtpInterfaces.a.banner: expected printable ASCII on one line, at most 200 characters, found "a\r\nb"`,
    ],
    [
      { smtpInterfaces: { a: { authentication: true } } },
      "smtpInterfaces.a.authentication: nobody could log in: AUTH is not offered in clear; set starttls or secure (with key and cert), or allowInsecureAuth",
    ],
    [
      { smtpInterfaces: { a: { host: "0.0.0.0" } } },
      "smtpInterfaces.a.authentication: is not set, and others than this machine can reach 0.0.0.0; set true (accounts: npx zonefleet account add), or false to take mail from whoever can connect",
    ],
    [
      { smtpInterfaces: { a: { secure: true } } },
      "smtpInterfaces.a.key: is missing: TLS needs a key and a cert, each a PEM text or the path of a PEM file",
    ],
    [{ smtpInterfaces: { a: { port: 12_080 } } }, "api.port: port 12080 is taken by smtpInterfaces.a"],
    [
      { smtpInterfaces: { a: { host: "::", authentication: false }, b: {} } },
      "smtpInterfaces.b.port: port 2525 is taken by smtpInterfaces.a",
    ],
    [
      { dkim: { keys: [{ domain: "a.example", selector: "s" }] } },
      "dkim.keys[0]: expected either privateKey (a PEM text) or path (of a PEM file)",
    ],
    [
      { dkim: { keyFolder: "none" } },
      `dkim.keyFolder: cannot read ${join(here.baseDir, "none")}: no such file`,
    ],
    [
      { dkim: { keys: [{ domain: "a.example", selector: "s", path: "none.pem" }] } },
      `dkim.keys[0].path: cannot read ${join(here.baseDir, "none.pem")}: no such file`,
    ],
    ["text", 'expected an object, found "text"'],
    [null, "expected an object, found null"],
    [undefined, "is missing: expected an object"],
  ];
  for (const [input, line] of cases) {
    test(line, () => {
      assert.deepEqual(refusal(input), [line]);
    });
  }

  test("with all errors at once, those of broken keys and those of what keys say of each other", () => {
    const lines = refusal({
      nme: "x",
      zones: { Bulk: { connections: "many", pool: "none" }, broken: 5 },
      pools: { main: ["192.0.2.1", "nonsense"], second: 7 },
      queue: { defaultZone: "broken" },
      smtpInterfaces: { feeder: { port: "x" }, other: { useProxy: true } },
    });
    assert.deepEqual(
      lines.map((line) => line.split(": ")[0]),
      [
        "smtpInterfaces.feeder.port",
        "pools.main[1]",
        "pools.second",
        "zones.Bulk.connections",
        "zones.broken",
        "nme",
        "zones.Bulk.pool",
        "smtpInterfaces.other.useProxy",
      ],
    );
  });

  test("and the path of the key when it is a single one", () => {
    assert.throws(() => parse({ zones: { a: { pool: "x" } } }), {
      code: "invalid-config",
      path: "zones.a.pool",
    });
  });

  test("whatever JSON it is, without a fault of ours", () => {
    const values = [0, "", [], {}, [[]], true, { a: null }, { default: { a: 1 } }, "\u0000", -1, 1e300];
    for (const key of [
      "name",
      "queue",
      "smtpInterfaces",
      "api",
      "pools",
      "zones",
      "domainConfig",
      "dkim",
      "dns",
      "plugins",
    ]) {
      for (const value of values) {
        try {
          parseConfig({ [key]: value }, here);
        } catch (error) {
          assert.ok(error instanceof DomainError, `${key} ${JSON.stringify(value)}: ${String(error)}`);
        }
      }
    }
  });

  test("and names of the language's own are names like others", () => {
    const input: unknown = JSON.parse(
      '{"zones":{"__proto__":{"connections":1},"constructor":{}},"toString":1}',
    );
    assert.match(refusal(input).join("\n"), /^toString: unknown key/m);
  });
});
