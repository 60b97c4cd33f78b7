import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { DomainError } from "#shared/domain/errors.ts";
import { elasticNames } from "#shared/domain/pool.ts";
import { DAY, HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Zone, ZoneName } from "#shared/domain/zone.ts";
import { loadConfig, parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/define-config.ts";

import example from "../../../docs/zonefleet.config.example.ts"; // so that its types are checked too

const here = { source: "zonefleet.config.ts", baseDir: tmpdir() };
const parse = (input: ConfigInput) => parseConfig(input, here);
const zone = (input: ConfigInput, name: string) => parse(input).zones.get(name as ZoneName) as Zone;

/** The lines that a configuration is refused with. */
function refusal(input: unknown, from = here): string[] {
  try {
    parseConfig(input, from);
  } catch (error) {
    assert.ok(error instanceof DomainError, String(error));
    assert.equal(error.code, "invalid-config");
    const [first = "", ...rest] = error.message.split("\n");
    return rest.length > 0 ? rest.map((line) => line.trim()) : [first.replace("zonefleet.config.ts: ", "")];
  }
  throw new Error("was not refused");
}

describe("a configuration file that says nothing", () => {
  const config = parse({});

  test("runs a feeder and the API on loopback, and no sandbox", () => {
    assert.deepEqual(
      config.smtpInterfaces.map(({ name, host, port }) => `${name} ${host}:${port}`),
      ["feeder 127.0.0.1:2525"],
    );
    assert.deepEqual([config.api.host, config.api.port, config.api.enabled], ["127.0.0.1", 12_080, true]);
    assert.equal(config.sandbox.enabled, false);
  });

  test("rewrites no return paths, and does when core/srs says into which domain and with which secret", () => {
    assert.equal(config.srs, null);
    const srs = {
      enabled: true,
      secret: "long enough",
      rewriteDomain: "Us.example",
      excludeDomains: ["x.example"],
    };
    assert.deepEqual(parse({ plugins: { "core/srs": srs } }).srs, {
      secret: "long enough",
      domain: "us.example",
      excludeDomains: ["x.example"],
    });
    const nothing = refusal({ plugins: { "core/srs": { enabled: true } } });
    assert.match(nothing.join("\n"), /core\/srs.*secret.*: is missing[\s\S]*rewriteDomain.*: is missing/);
  });

  test("obeys MTA-STS, and does not when it is told so", () => {
    assert.equal(config.mtaSts.enabled, true);
    assert.equal(parse({ mtaSts: { enabled: false } }).mtaSts.enabled, false);
  });

  test("has the zones default and bounces, each with any address of the system", () => {
    assert.deepEqual([...config.zones.keys()].toSorted(), ["bounces", "default"]);
    for (const { pool } of config.zones.values()) {
      assert.deepEqual(pool, [{ address: "0.0.0.0", name: config.hostname, share: 1 }]);
    }
    assert.equal(config.queue.defaultZone, "default");
    assert.equal(config.bounces.zone, "bounces");
  });

  test("has ZoneMTA's ladder of 48 hours and its ceiling of 5 connections to a destination", () => {
    const { deferTimesMs } = config.zones.get("default" as ZoneName) as Zone;
    assert.deepEqual(
      deferTimesMs.slice(0, 6),
      [5, 7, 8, 25, 75, 120].map((minutes) => minutes * MINUTE),
    );
    assert.equal(deferTimesMs.length, 17);
    assert.equal(
      deferTimesMs.reduce((sum, wait) => sum + wait, 0),
      48 * HOUR,
    );
    assert.equal(config.domains.default.maxConnections, 5);
  });

  test("bounces mail after five days and keeps history for seven", () => {
    assert.equal(config.queue.maxQueueTimeMs, 5 * DAY);
    assert.equal(config.queue.historyMs, 7 * DAY);
  });

  test("has a host name that is a domain, and sends DSN from it", () => {
    assert.match(config.hostname, /^[a-z0-9-]+(\.[a-z0-9-]+)+$/);
    assert.equal(config.bounces.mailerDaemon.address, `mailer-daemon@${config.hostname}`);
  });

  test("does not connect to private addresses", () => {
    assert.equal(config.dns.blockLocalAddresses, true);
    assert.equal((config.zones.get("default" as ZoneName) as Zone).blockLocalAddresses, true);
  });
});

describe("a zone", () => {
  test("has its name in lower case, so that X-Sending-Zone reaches it", () => {
    assert.equal(zone({ zones: { Bulk: {} } }, "bulk").name, "bulk");
  });

  test("takes what it does not say from dns and queue", () => {
    const given = {
      queue: { deferTimes: [1_000] },
      dns: { blockLocalAddresses: false, preferIPv6: true },
      zones: { a: {} },
    };
    const { blockLocalAddresses, preferIpv6, ignoreIpv6, deferTimesMs } = zone(given, "a");
    assert.deepEqual(
      { blockLocalAddresses, preferIpv6, ignoreIpv6, deferTimesMs },
      {
        blockLocalAddresses: false,
        preferIpv6: true,
        ignoreIpv6: false,
        deferTimesMs: [1_000],
      },
    );
  });

  test("that prefers IPv6 does not ignore it, and one that ignores it does not prefer it", () => {
    assert.equal(zone({ zones: { a: { preferIPv6: true } } }, "a").ignoreIpv6, false);
    assert.equal(
      zone({ dns: { preferIPv6: true }, zones: { a: { ignoreIPv6: true } } }, "a").preferIpv6,
      false,
    );
  });

  test("with a host is a relay, on port 465 when that is TLS from the first byte", () => {
    assert.deepEqual(zone({ zones: { a: { host: "relay.example" } } }, "a").relay, {
      host: "relay.example",
      port: 25,
      auth: null,
      secure: false,
      authMethod: null,
      credentials: "verified",
      lmtp: false,
    });
    const secure = { host: "192.0.2.1", secure: true, auth: { user: "u", pass: "p" } };
    assert.deepEqual(zone({ zones: { a: secure } }, "a").relay, {
      host: "192.0.2.1",
      port: 465,
      auth: { user: "u", pass: "p" },
      secure: true,
      authMethod: null,
      credentials: "verified",
      lmtp: false,
    });
    const own = { ...secure, authMethod: "LOGIN", credentials: "encrypted" } as const;
    const relay = zone({ zones: { a: own } }, "a").relay;
    assert.deepEqual([relay?.authMethod, relay?.credentials], ["LOGIN", "encrypted"]);
    assert.equal(zone({ zones: { a: { host: "127.0.0.1", port: 24, lmtp: true } } }, "a").relay?.lmtp, true);
  });

  test("with http posts its mail, under the name that uploads have", () => {
    const zones = { a: { http: "https://app.example/in" } };
    assert.deepEqual(zone({ zones }, "a").http, { url: "https://app.example/in", userAgent: "ZoneFleet" });
    assert.equal(zone({ zones, uploads: { userAgent: "us/1" } }, "a").http?.userAgent, "us/1");
    assert.equal(zone({ zones }, "default").http, null);
  });

  test("uses its pool, the pool default when it names none, and both wildcards with IPv6", () => {
    const pools = { default: ["192.0.2.1"], named: ["192.0.2.2"] };
    const addresses = (of: NonNullable<ConfigInput["zones"]>[string], given: ConfigInput["pools"] = pools) =>
      zone({ pools: given, zones: { a: of } }, "a").pool.map(({ address }) => address);
    assert.deepEqual(addresses({}), ["192.0.2.1"]);
    assert.deepEqual(addresses({ pool: "named" }), ["192.0.2.2"]);
    assert.deepEqual(addresses({ pool: ["192.0.2.3"] }), ["192.0.2.3"]);
    assert.deepEqual(addresses({}, {}), ["0.0.0.0"]);
    assert.deepEqual(addresses({ ignoreIPv6: false }, { default: [] }), ["0.0.0.0", "::"]);
  });

  test("knows an Elastic IP by its name, in as many pools as it is in", () => {
    const m1 = { address: "elastic", name: "M1.example.com" };
    const m2 = { address: "elastic", name: "m2.example.com", ratio: 0.25 };
    const given: ConfigInput = {
      pools: { default: [m1, m2], other: [m1] },
      zones: { other: { pool: "other" } },
      domainConfig: { "gmail.com": { disabledAddresses: ["M2.example.com", "192.0.2.1"] } },
    };
    assert.deepEqual(zone(given, "default").pool, [
      { address: "m1.example.com", name: "m1.example.com", share: 0.75, elastic: true },
      { address: "m2.example.com", name: "m2.example.com", share: 0.25, elastic: true },
    ]);
    const { zones, domains } = parse(given);
    const pools = [...zones.values()].map(({ pool }) => pool);
    assert.deepEqual(elasticNames(pools), ["m1.example.com", "m2.example.com"]);
    assert.deepEqual(domains.byDomain.get("gmail.com")?.disabledAddresses, ["m2.example.com", "192.0.2.1"]);
  });

  test("has its routes in the spelling that mail is compared in", () => {
    const routes = {
      senderDomains: ["JÕGEVA.ee"],
      originAddresses: ["2001:DB8:0::1"],
      routingHeaders: { "X-Kind": " Bulk " },
    };
    assert.deepEqual(zone({ zones: { a: routes } }, "a").routes, {
      senderDomains: ["xn--jgeva-dua.ee"],
      recipientDomains: [],
      originAddresses: ["2001:db8::1"],
      routingHeaders: { "x-kind": ["bulk"] },
    });
  });

  test("uses no connection twice when its connections may not wait", () => {
    const never = zone({ zones: { bulk: { connectionCache: { ttl: 0 } } } }, "bulk");
    assert.deepEqual(never.connectionCache, { ttlMs: 0, reuseCount: 1 });
    const soon = zone({ zones: { bulk: { connectionCache: { ttl: 0.5, reuseCount: 7 } } } }, "bulk");
    assert.deepEqual(soon.connectionCache, { ttlMs: 500, reuseCount: 7 });
  });

  test("takes the ttl of connectionCache in seconds, as ZoneMTA does, and says so of what can only be milliseconds", () => {
    const zoneMta = zone({ zones: { bulk: { connectionCache: { ttl: 60, reuseCount: 100 } } } }, "bulk");
    assert.deepEqual(zoneMta.connectionCache, { ttlMs: 60_000, reuseCount: 100 });
    assert.equal(zone({ zones: { bulk: {} } }, "bulk").connectionCache.ttlMs, 5_000);
    assert.throws(() => parse({ zones: { bulk: { connectionCache: { ttl: 5_000 } } } }), {
      message: /connectionCache\.ttl: expected seconds, 300 at most .*, found 5000/,
    });
  });
});

describe("user, group and log", () => {
  test("name whom to become, by name or number, in his own group unless another is named", () => {
    assert.equal(parse({}).runAs, null);
    assert.deepEqual(parse({ user: "mail" }).runAs, { user: "mail", group: null });
    assert.deepEqual(parse({ user: 8, group: 12 }).runAs, { user: 8, group: 12 });
    assert.deepEqual(refusal({ group: "mail" }), ["group: needs user: who is to be in it?"]);
  });

  test("send nothing anywhere unless told to, and then where ZoneMTA would", () => {
    assert.deepEqual(parse({}).log, { level: null, remote: null, gelf: null });
    const off = parse({ log: { level: "verbose", remote: false, gelf: { enabled: false } } }).log;
    assert.deepEqual(off, { level: "debug", remote: null, gelf: null });
    const on = parse({ hostname: "relay.example", log: { remote: {}, gelf: { enabled: true } } }).log;
    assert.deepEqual(on.remote, { protocol: "udp4", host: "127.0.0.1", port: 31_239 });
    assert.deepEqual(on.gelf, {
      host: "127.0.0.1",
      port: 12_201,
      chunkBytes: 8_154,
      component: "MTA",
      hostname: "relay.example",
      level: "warn",
    });
  });

  test("say the level of the log, unless LOG_LEVEL does", async (t) => {
    const cwd = await folder(t);
    await writeFile(join(cwd, "zonefleet.config.json"), '{ "log": { "level": "silly" } }');
    assert.equal((await loadConfig({ env: {}, cwd })).logLevel, "trace");
    assert.equal((await loadConfig({ env: { LOG_LEVEL: "error" }, cwd })).logLevel, "error");
  });
});

describe("limits of a domain", () => {
  test("come from default where it says nothing, under its name in A-labels", () => {
    const { domains } = parse({
      domainConfig: {
        default: { maxConnections: 9, disabledAddresses: ["192.0.2.1"], dnsOptions: { ignoreIPv6: true } },
        "Jõgeva.ee": {
          maxConnections: 2,
          throttling: "20 messages/second",
          dnsOptions: { blockLocalAddresses: false },
        },
        "six.example": { dnsOptions: { ignoreIPv6: false, preferIPv6: true } },
      },
    });
    assert.deepEqual(domains.byDomain.get("xn--jgeva-dua.ee"), {
      maxConnections: 2,
      disabledAddresses: ["192.0.2.1"],
      throttling: { count: 20, perMs: SECOND },
      addresses: { ignoreIpv6: true, preferIpv6: false, blockLocalAddresses: false },
    });
    assert.deepEqual(domains.default, {
      maxConnections: 9,
      disabledAddresses: ["192.0.2.1"],
      throttling: null,
      addresses: { ignoreIpv6: true, preferIpv6: false, blockLocalAddresses: null },
    });
    assert.deepEqual(domains.byDomain.get("six.example")?.addresses, {
      ignoreIpv6: false,
      preferIpv6: true,
      blockLocalAddresses: null,
    });
  });
});

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

describe("keys and certificates", () => {
  const pem = (bits: number) =>
    generateKeyPairSync("rsa", { modulusLength: bits })
      .privateKey.export({ type: "pkcs8", format: "pem" })
      .toString();
  const ed25519 = generateKeyPairSync("ed25519")
    .privateKey.export({ type: "pkcs8", format: "pem" })
    .toString();
  const dkim = (key: object) => ({ dkim: { keys: [{ domain: "a.example", selector: "s", ...key }] } });

  test("are read from a file in the folder of the configuration, or from the text itself", async (t) => {
    const baseDir = await folder(t);
    await writeFile(join(baseDir, "dkim.pem"), ed25519);
    const from = { source: here.source, baseDir };
    const expected = [{ domain: "a.example", selector: "s", privateKey: ed25519 }];
    assert.deepEqual(parseConfig(dkim({ path: "dkim.pem" }), from).dkim.keys, expected);
    assert.deepEqual(parseConfig(dkim({ privateKey: ed25519 }), from).dkim.keys, expected);
  });

  test("of the plugin core/dkim are keys like others, and options that do nothing are refused", () => {
    const plugin = { enabled: "sender", domain: "a.example", selector: "s", privateKey: ed25519 };
    const keysOf = (options: object) =>
      parseConfig({ plugins: { "core/dkim": { ...plugin, ...options } } }, here).dkim.keys;
    assert.deepEqual(keysOf({}), [{ domain: "a.example", selector: "s", privateKey: ed25519 }]);
    assert.deepEqual(keysOf({ enabled: false }), []);
    assert.throws(() => keysOf({ domain: undefined }), /core\/dkim"\]: expected a domain and a selector/);
    assert.throws(() => keysOf({ signTransportDomain: true }), /signTransportDomain: unknown key/);
  });

  test("of a folder are called as their records; what is not, or is no key, is named", async (t) => {
    const baseDir = await folder(t);
    const from = { source: here.source, baseDir };
    const keyFolder = join(baseDir, "keys");
    await mkdir(keyFolder);
    const config = { dkim: { keyFolder: "keys" } };
    await writeFile(join(keyFolder, "s1._domainkey.a.example.pem"), ed25519);
    await writeFile(join(keyFolder, "x.s2._domainkey.b.a.example.pem"), ed25519);
    await writeFile(join(keyFolder, "README"), "not a key");
    const places = parseConfig(config, from).dkim.keys.map(({ domain, selector }) => [domain, selector]);
    assert.deepEqual(places, [
      ["a.example", "s1"],
      ["b.a.example", "x.s2"],
    ]);
    await writeFile(join(keyFolder, "a.pem"), ed25519);
    await writeFile(join(keyFolder, "s3._domainkey.a.example.pem"), "nothing");
    assert.throws(
      () => parseConfig(config, from),
      /a\.pem is not called <selector>\._domainkey\.<domain>\.pem[^]*s3\._domainkey\.a\.example\.pem is not a PEM file/,
    );
  });

  test("that are too short, of another kind or no key are refused, and never shown", () => {
    const weak = pem(1_024);
    assert.deepEqual(refusal(dkim({ privateKey: weak })), [
      "dkim.keys[0].privateKey: expected an RSA key of at least 2048 bits, found 1024",
    ]);
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
      type: "pkcs8",
      format: "pem",
    });
    assert.deepEqual(refusal(dkim({ privateKey: ec.toString() })), [
      "dkim.keys[0].privateKey: expected an RSA or Ed25519 key, found ec",
    ]);
    const [line = ""] = refusal(
      dkim({ privateKey: "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----" }),
    );
    assert.match(line, /^dkim\.keys\[0\]\.privateKey: is not a private key/);
    assert.doesNotMatch(line, /c2VjcmV0/);
  });

  test("twice under one name are refused", () => {
    const key = { domain: "a.example", selector: "s", privateKey: ed25519 };
    assert.deepEqual(refusal({ dkim: { keys: [key, key] } }), [
      "dkim.keys[1]: there is another key for s._domainkey.a.example",
    ]);
  });
});

describe("loading", () => {
  let empty = "";
  before(async () => {
    empty = await mkdtemp(join(tmpdir(), "zonefleet-config-"));
  });
  after(() => rm(empty, { recursive: true }));

  test("without a file gives the built-in defaults with the sandbox", async () => {
    const { config, source, backend, dataDir, logLevel, processes } = await loadConfig({
      env: {},
      cwd: empty,
    });
    assert.equal(source, null);
    assert.deepEqual(config.sandbox, { enabled: true, host: "127.0.0.1", port: 2526 });
    assert.deepEqual([backend, dataDir, logLevel], ["embedded", join(empty, "data"), "info"]);
    assert.ok(processes >= 1);
  });

  test("takes what the environment says, and empty variables as unset", async () => {
    const env = {
      ZONEFLEET_BACKEND: "aws",
      ZONEFLEET_DATA: "store",
      ZONEFLEET_PROCESSES: "3",
      LOG_LEVEL: "debug",
      ZONEFLEET_CONFIG: "",
    };
    const { backend, dataDir, processes, logLevel } = await loadConfig({ env, cwd: empty });
    assert.deepEqual([backend, dataDir, processes, logLevel], ["aws", join(empty, "store"), 3, "debug"]);
  });

  const wrong: [env: Record<string, string>, message: RegExp][] = [
    [
      { ZONEFLEET_BACKEND: "awz" },
      /^ZONEFLEET_BACKEND: expected one of embedded, aws, found "awz"; did you mean aws\?$/,
    ],
    [{ ZONEFLEET_PROCESSES: "0" }, /^ZONEFLEET_PROCESSES: expected a whole number from 1 to 256, found "0"$/],
    [{ ZONEFLEET_PROCESSES: "many" }, /^ZONEFLEET_PROCESSES: .* found "many"$/],
    [{ ZONEFLEET_PROCESSES: "1e2" }, /^ZONEFLEET_PROCESSES: .* found "1e2"$/],
    [
      { LOG_LEVEL: "loud" },
      /^LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent, found "loud"$/,
    ],
    [{ ZONEFLEET_CONFIG: "nowhere.ts" }, /^ZONEFLEET_CONFIG: there is no file .*nowhere\.ts$/],
  ];
  for (const [env, message] of wrong) {
    test(`refuses ${JSON.stringify(env)}`, async () => {
      await assert.rejects(loadConfig({ env, cwd: empty }), { code: "invalid-config", message });
    });
  }

  test("finds a TypeScript file, runs it, and names it", async (t) => {
    const cwd = await folder(t);
    const file = join(cwd, "zonefleet.config.ts");
    await writeFile(
      file,
      'const name: string = "Typed";\nexport default { name } satisfies { name: string };\n',
    );
    const { config, source } = await loadConfig({ env: {}, cwd });
    assert.equal(source, file);
    assert.equal(config.name, "Typed");
    assert.equal(config.sandbox.enabled, false);
  });

  test("reads a TypeScript file and all that it imports again, when it was read before", async (t) => {
    const cwd = await folder(t);
    const write = (name: string, times: number) =>
      Promise.all([
        writeFile(join(cwd, "parts.ts"), `export const name: string = ${JSON.stringify(name)};\n`),
        writeFile(
          join(cwd, "zonefleet.config.ts"),
          `import { name } from "./parts.ts";\nexport default { name, queue: { deferTimes: [${times}] } };\n`,
        ),
      ]);
    await write("First", 1);
    assert.equal((await loadConfig({ env: {}, cwd })).config.name, "First");
    await write("Second", 1); // the file itself is as it was
    assert.equal((await loadConfig({ env: {}, cwd, again: true })).config.name, "Second");
    await write("Third", 2);
    assert.equal((await loadConfig({ env: {}, cwd, again: true })).config.name, "Third");
  });

  const brokenLater: [text: string, message: RegExp][] = [
    ["throw new Error('on purpose'); export default {};", /cannot be read: Error: on purpose/],
    ["export default { name: () => 1 };", /cannot be read: .*could not be cloned/],
    ["process.exit(0); export default {};", /cannot be read: Error: it ended the process/],
    ["export default {", /cannot be read: /],
    ["export const config = {};", /expected export default defineConfig/],
  ];
  for (const [text, message] of brokenLater) {
    test(`names the file when it is read again, in what is wrong with ${text}`, async (t) => {
      const cwd = await folder(t);
      await writeFile(join(cwd, "zonefleet.config.ts"), text);
      await assert.rejects(loadConfig({ env: {}, cwd, again: true }), { code: "invalid-config", message });
    });
  }

  test("finds a JSON file, and one that ZONEFLEET_CONFIG names", async (t) => {
    const cwd = await folder(t);
    await writeFile(join(cwd, "zonefleet.config.json"), '{ "name": "Found" }');
    assert.equal((await loadConfig({ env: {}, cwd })).config.name, "Found");
    await mkdir(join(cwd, "etc"));
    await writeFile(join(cwd, "etc", "mail.json"), '{ "name": "Named" }');
    const { config, source } = await loadConfig({ env: { ZONEFLEET_CONFIG: "etc/mail.json" }, cwd });
    assert.deepEqual([config.name, source], ["Named", join(cwd, "etc", "mail.json")]);
  });

  const broken: [file: string, text: string, message: RegExp][] = [
    ["zonefleet.config.ts", "export default {", /zonefleet\.config\.ts: cannot be read: SyntaxError/],
    [
      "zonefleet.config.ts",
      "export const config = {};",
      /zonefleet\.config\.ts: expected export default defineConfig/,
    ],
    [
      "zonefleet.config.ts",
      "throw new Error('on purpose'); export default {};",
      /zonefleet\.config\.ts: cannot be read: Error: on purpose/,
    ],
    ["zonefleet.config.ts", "enum E { A } export default {};", /zonefleet\.config\.ts: cannot be read: /],
    [
      "zonefleet.config.ts",
      "import 'no-such-package'; export default {};",
      /zonefleet\.config\.ts: cannot be read: .*no-such-package/,
    ],
    ["zonefleet.config.json", "{ name: 1 }", /zonefleet\.config\.json: cannot be read: SyntaxError/],
    [
      "zonefleet.config.json",
      '{ "nam": 1 }',
      /zonefleet\.config\.json: nam: unknown key; did you mean name\?/,
    ],
  ];
  for (const [name, text, message] of broken) {
    test(`names the file in what is wrong with ${text}`, async (t) => {
      const cwd = await folder(t);
      await writeFile(join(cwd, name), text);
      await assert.rejects(loadConfig({ env: {}, cwd }), { code: "invalid-config", message });
    });
  }

  test("refuses to choose between two files, and files of another kind", async (t) => {
    const cwd = await folder(t);
    await writeFile(join(cwd, "zonefleet.config.ts"), "export default {};");
    await writeFile(join(cwd, "zonefleet.config.json"), "{}");
    await assert.rejects(loadConfig({ env: {}, cwd }), { message: /both .* are there; remove one/ });
    await writeFile(join(cwd, "config.toml"), "");
    const env = { ZONEFLEET_CONFIG: "config.toml" };
    await assert.rejects(loadConfig({ env, cwd }), {
      message: /config\.toml: expected a \.ts or a \.json file$/,
    });
  });

  test("takes the example in docs as it is", async () => {
    const file = fileURLToPath(new URL("../../../docs/zonefleet.config.example.ts", import.meta.url));
    const { config } = await loadConfig({ env: { ZONEFLEET_CONFIG: file }, cwd: empty });
    assert.equal(config.hostname, example.hostname);
    const { pool } = config.zones.get("bulk" as ZoneName) as Zone;
    assert.deepEqual(
      pool.map(({ share }) => Number(share.toFixed(3))),
      [0.475, 0.475, 0.05],
    );
  });
});

describe("the digest", () => {
  test("is the same for the same configuration, in whatever order it is written", () => {
    const a = parse({ name: "x", zones: { a: { connections: 1, port: 26 }, b: {} } });
    const b = parse({ zones: { b: {}, a: { port: 26, connections: 1 } }, name: "x" });
    assert.equal(a.digest, b.digest);
    assert.match(a.digest, /^[0-9a-f]{64}$/);
  });

  test("differs when anything differs, also inside maps", () => {
    const inputs: ConfigInput[] = [
      {},
      { name: "x" },
      { zones: { default: { connections: 1 } } },
      { domainConfig: { "a.example": { maxConnections: 1 } } },
      { zones: { default: { routingHeaders: { a: "b" } } } },
    ];
    assert.equal(new Set(inputs.map((input) => parse(input).digest)).size, inputs.length);
  });
});

async function folder(t: { after: (clean: () => Promise<void>) => void }): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-config-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}
