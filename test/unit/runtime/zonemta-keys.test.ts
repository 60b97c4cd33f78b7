/** A configuration written by hand with ZoneMTA's keys: each has ZoneMTA's meaning, or the error says what to write. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ConfigInput } from "#shared/runtime/config-schema.ts";

import { parse, refusal } from "../../support/config.ts";

const feeder = (one: object) => ({ smtpInterfaces: { feeder: one } });
const zone = (one: object) => ({ zones: { default: one } });
const plugin = (name: string, options: unknown) => ({ plugins: { [name]: options } });

describe("a key of ZoneMTA without a meaning here", () => {
  const keys: readonly [object, RegExp][] = [
    [{ ident: "zone-mta" }, /^ident: has no meaning here \(.*service.*\); remove it/],
    [{ dbs: { mongo: "mongodb://127.0.0.1" } }, /^dbs: .*ZONEFLEET_BACKEND/],
    [{ queue: { instanceId: "one" } }, /^queue\.instanceId: .*any process may send any mail/],
    [{ queue: { gfs: "mail" } }, /^queue\.gfs: .*ZONEFLEET_DATA/],
    [{ queue: { collection: "zone-queue" } }, /^queue\.collection: .*ZONEFLEET_DATA/],
    [{ queue: { disableGC: true } }, /^queue\.disableGC: .*cleared away/],
    [{ queue: { logQueuePolling: true } }, /^queue\.logQueuePolling: .*not polled/],
    [{ queueServer: { enabled: true, port: 12_081 } }, /^queueServer: .*no queue server/],
    [feeder({ processes: 2 }), /^smtpInterfaces\.feeder\.processes: .*ZONEFLEET_PROCESSES/],
    [feeder({ disableVersionString: true }), /disableVersionString: .*never shows a version/],
    [feeder({ logger: true }), /feeder\.logger: .*dialogues are not logged/],
    [feeder({ authMethods: ["PLAIN"] }), /authMethods: .*PLAIN or LOGIN/],
    [feeder({ disabledCommands: ["AUTH"] }), /disabledCommands: .*authentication, starttls/],
    ...["hideSTARTTLS", "hidePIPELINING", "hide8BITMIME", "hideSMTPUTF8", "hideSize"].map(
      (key): [object, RegExp] => [feeder({ [key]: true }), new RegExp(`${key}: .*is offered`)],
    ),
    ...["ciphers", "minVersion", "dhparam", "secureProtocol", "secureOptions"].map(
      (key): [object, RegExp] => [feeder({ [key]: "x" }), new RegExp(`${key}: .*TLS 1\\.2 and later`)],
    ),
    [feeder({ secured: true }), /secured: .*no proxy takes TLS off/],
    [feeder({ closeTimeout: 1_000 }), /closeTimeout: .*the same time/],
    [zone({ processes: 2 }), /^zones\.default\.processes: .*ZONEFLEET_PROCESSES/],
    [zone({ logLevel: "silly" }), /logLevel: .*LOG_LEVEL/],
    [zone({ logger: true }), /logger: .*dialogues are not logged/],
    [zone({ debug: true }), /debug: .*dialogues are not logged/],
    [zone({ resolveIp: true }), /resolveIp: .*no effect in ZoneMTA/],
    [{ dns: { caching: true } }, /^dns\.caching: .*lifetime of each record/],
    [{ dns: { cacheTTL: 600 } }, /^dns\.cacheTTL: .*lifetime of each record/],
    [{ dns: { blockDomains: [] } }, /^dns\.blockDomains: .*no effect in ZoneMTA/],
    [{ api: { hostname: "localhost" } }, /^api\.hostname: .*no effect in ZoneMTA/],
    [{ api: { user: "zone" } }, /^api\.user: .*account add/],
    [{ api: { pass: "test" } }, /^api\.pass: .*account add/],
    [{ log: { queue: true } }, /^log\.queue: .*dialogues are not logged/],
    [{ log: { syslog: { enabled: true } } }, /^log\.syslog: .*standard output/],
    [{ dkim: { debug: true } }, /^dkim\.debug: .*not logged/],
    [
      { domainConfig: { "gmail.com": { logger: true } } },
      /"gmail\.com"\]\.logger: .*dialogues are not logged/,
    ],
    [{ corePluginsPath: "./plugins" }, /^corePluginsPath: .*part of the program/],
  ];
  for (const [input, message] of keys)
    test(`is refused with the reason: ${JSON.stringify(input)}`, () => {
      const [problem = "", ...more] = refusal(input);
      assert.match(problem, message);
      assert.match(problem, /has no meaning here .*; remove it$/);
      assert.deepEqual(more, []);
    });
});

describe("a key of ZoneMTA that is written otherwise here", () => {
  const keys: readonly [object, RegExp][] = [
    [{ nameservers: ["127.0.0.1"] }, /^nameservers: .*write dns\.nameservers/],
    [
      { domainConfig: { defaults: { maxConnections: 7 } } },
      /^domainConfig\.defaults: .*domainConfig\.default$/,
    ],
    [feeder({ name: "Example" }), /feeder\.name: .*write banner/],
    [zone({ pool: "192.0.2.1" }), /pool: there is no pool "192\.0\.2\.1"; write \["192\.0\.2\.1"\]/],
    [feeder({ key: ["a.pem"] }), /feeder\.key: expected a string, found a list of 1/],
    [zone({ throttling: "100/day" }), /throttling: expected a rate such as/],
    [zone({ senderDomains: "a.example" }), /senderDomains: expected a list/],
    [feeder({ useProxy: true }), /useProxy: expected the list of proxy addresses/],
    [feeder({ useProxy: ["*"] }), /useProxy\[0\]: expected an IP address or a block/],
    [{ feeder: { port: 2525 } }, /^feeder: .*write smtpInterfaces\.feeder/],
    [{ maxRecipients: 5 }, /^maxRecipients: .*of each interface/],
    [{ mailerDaemon: {} }, /^mailerDaemon: .*core\/email-bounce/],
    [{ bounces: { enabled: true } }, /^bounces: .*core\/http-bounce/],
    [{ srs: { enabled: true } }, /^srs: .*core\/srs/],
    [{ rspamd: { enabled: true } }, /^rspamd: .*core\/rspamd/],
    [{ routingHeaders: { "x-a": "b" } }, /^routingHeaders: .*zones\.<zone>\.routingHeaders/],
    [{ dkim: { hashAlgo: "sha1" } }, /^dkim\.hashAlgo: expected sha256.*RFC 8301/],
    [plugin("modules/zonemta-loop-breaker", { enabled: "sender" }), /write "core\/loop-breaker"/],
    [plugin("modules/zonemta-limiter", "sender"), /write "core\/limiter" .*without prefix/],
    [plugin("modules/zonemta-delivery-counters", "main"), /counts in Redis.*GET \/metrics/],
    [plugin("modules/zonemta-wildduck", { enabled: ["sender"] }), /needs the MongoDB .*remove it/],
  ];
  for (const [input, message] of keys)
    test(`is refused with what to write: ${JSON.stringify(input)}`, () => {
      const problems = refusal(input);
      assert.equal(problems.length, 1, problems.join("\n"));
      assert.match(problems[0] ?? "", message);
    });
});

describe("many keys of ZoneMTA at once", () => {
  test("are told with the command that makes a configuration of ours of them, and our own slips are not", () => {
    const theirs = { ident: "zone-mta", dbs: {}, queueServer: {} };
    assert.throws(() => parse(theirs as ConfigInput), /npx zonefleet import-config/);
    assert.throws(
      () => parse({ pols: {}, zons: {} } as ConfigInput),
      ({ message }: Error) => !message.includes("import-config"),
    );
  });
});

describe("a key with ZoneMTA's way to say that it is not set", () => {
  test("asks the name servers of the system when nameservers is false or empty", () => {
    for (const nameservers of [false, []] as const)
      assert.equal(parse({ dns: { nameservers } } as ConfigInput).dns.nameservers, null);
  });

  test("adds the headers that are missing, whatever their names are written like", () => {
    const addMissing = ["Message-ID", " date ", "TO"];
    const { headers } = parse({ plugins: { "core/default-headers": { addMissing } } });
    assert.deepEqual(headers.addMissing, ["message-id", "date", "to"]);
  });

  test("is let be in a plugin that is off", () => {
    parse(plugin("modules/zonemta-limiter", { enabled: false }));
    parse(plugin("modules/zonemta-wildduck", false));
  });
});
