import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";

import { DAY, HOUR, MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Zone, ZoneName } from "#shared/domain/zone.ts";
import { loadConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/define-config.ts";
import { configFolder, parse, refusal } from "../../support/config.ts";

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
    const short = { ...srs, secret: "a cat" };
    assert.match(
      refusal({ plugins: { "core/srs": short } })[0] ?? "",
      /secret: expected at least 8 characters/,
    );
    assert.equal(parse({ plugins: { "core/srs": { ...short, enabled: false } } }).srs, null);
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
    const cwd = await configFolder(t);
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
