import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";

import { run } from "../../../cli/main.ts";
import type { Terminal } from "../../../cli/command.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "import-"));
});
after(() => rm(folder, { recursive: true }));

let runs = 0;

/** Run the command on a ZoneMTA whose files are `files`, by their paths in its folder. */
async function imported(
  files: Readonly<Record<string, string>>,
  source = "config",
  options: string[] = [],
  environment: Readonly<Record<string, string>> = {},
) {
  const root = join(folder, `zone-mta-${runs++}`);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  const out: string[] = [];
  const err: string[] = [];
  const fail = (): never => assert.fail("import-config asks for nothing");
  const terminal: Terminal = {
    secrets: memorySecrets(),
    print: (line) => out.push(line),
    complain: (line) => err.push(line),
    readSecret: fail,
    readInput: fail,
    deployment: fail,
    site: fail,
    bounceRules: fail,
    env: () => undefined,
    environment,
    confirm: fail,
    readText: fail,
    write: fail,
  };
  const target = join(root, "zonefleet.config.json");
  const code = await run(["import-config", ...options, "--out", target, join(root, source)], terminal);
  const config: unknown = code === 0 ? JSON.parse(await readFile(target, "utf8")) : null;
  return { code, config, said: out.join("\n"), complained: err.join("\n"), root, target };
}

describe("zonefleet import-config", () => {
  test("joins default.js and the file of the environment, and evaluates a module with what it requires", async () => {
    const { code, config } = await imported({
      "config/default.js": `'use strict';
        const { HOUR } = require('./times');
        module.exports = { name: 'MTA', queue: { maxQueueTime: 24 * HOUR, defaultZone: 'default' },
          pools: { default: [{ address: '192.0.2.1', name: 'a.example.com' }] } };`,
      "config/times.js": "exports.HOUR = 3600 * 1000;",
      "config/production.json":
        '{ "queue": { "defaultZone": "bulk" }, "zones": { "bulk": { "connections": 3, "pool": "default" } } }',
      "config/development.json": '{ "name": "not this one" }',
    });
    assert.equal(code, 0);
    assert.deepEqual(config, {
      name: "MTA",
      queue: { maxQueueTime: 86_400_000, defaultZone: "bulk" },
      pools: { default: [{ address: "192.0.2.1", name: "a.example.com" }] },
      zones: { bulk: { connections: 3, pool: "default" } },
    });
  });

  test("carries over who it is to become, and where it logs", async () => {
    const { code, config, said } = await imported({
      "config/default.json": JSON.stringify({
        user: "zone-mta",
        group: "mail",
        log: {
          level: "silly",
          queue: false,
          remote: { protocol: "udp4", host: "127.0.0.1", port: 31_239 },
          gelf: {
            enabled: true,
            component: "mta",
            options: { graylogPort: 12_201, graylogHostname: "graylog.example", connection: "lan" },
          },
        },
      }),
    });
    assert.equal(code, 0, said);
    assert.deepEqual(config, {
      user: "zone-mta",
      group: "mail",
      log: {
        level: "silly",
        remote: { protocol: "udp4", host: "127.0.0.1", port: 31_239 },
        gelf: {
          enabled: true,
          component: "mta",
          options: { graylogPort: 12_201, graylogHostname: "graylog.example", connection: "lan" },
        },
      },
    });
    assert.match(said, /log\.queue/);
  });

  test("says of each option of an interface that is not one here why it is not", async () => {
    const feeder = { port: 2525, minVersion: "TLSv1", hideSize: true, authMethods: ["PLAIN"], secured: true };
    const { config, said } = await imported({
      "config/default.json": JSON.stringify({ smtpInterfaces: { feeder } }),
    });
    assert.deepEqual(config, { smtpInterfaces: { feeder: { port: 2525 } } });
    assert.match(said, /feeder\.minVersion: TLS 1\.2 and later/);
    assert.doesNotMatch(said, /unknown key/);
  });

  test("leaves out names of interfaces and zones that ZoneMTA's defaults have and this ZoneMTA has not", async () => {
    const { config, said } = await imported({
      "config/default.json": JSON.stringify({
        smtpInterfaces: { in: { enabled: true, host: "127.0.0.1", port: 2525 } },
        zones: { Bulk: { connections: 1 } },
        plugins: {
          "core/default-headers": { enabled: true, allowRoutingHeaders: ["api", "in", "feeder"] },
          "core/email-bounce": {
            enabled: "main",
            disableInterfaces: ["forwarder"],
            zoneConfig: { bulk: { sendingZone: "bulk" }, mysuperzone: { sendingZone: "bulk" } },
          },
        },
      }),
    });
    const { plugins } = config as { plugins: Record<string, unknown> };
    assert.deepEqual(plugins, {
      "core/default-headers": { enabled: true, allowRoutingHeaders: ["api", "in"] },
      "core/email-bounce": {
        enabled: "main",
        disableInterfaces: [],
        zoneConfig: { bulk: { sendingZone: "bulk" } },
      },
    });
    assert.match(said, /disableInterfaces: is without "forwarder": there is no such interface/);
    assert.match(said, /allowRoutingHeaders: is without "feeder"/);
    assert.match(said, /zoneConfig: is without "mysuperzone": there is no such zone/);
    assert.doesNotMatch(said, /To be put right/);
  });

  test("makes core plugins of ZoneMTA's loop breaker and limiter", async () => {
    const { config, said } = await imported({
      "config/default.json": JSON.stringify({
        plugins: {
          "modules/zonemta-loop-breaker": { enabled: "sender", secret: "a cat", algo: "md5" },
          "modules/zonemta-limiter": { enabled: "sender", prefix: "zl:", limit: 100, windowSize: 1800 },
        },
      }),
    });
    assert.deepEqual(config, {
      plugins: {
        "core/loop-breaker": { enabled: "sender", secret: "a cat", algo: "md5" },
        "core/limiter": { enabled: "sender", limit: 100, windowSize: 1800 },
      },
    });
    assert.match(said, /plugins\["modules\/zonemta-limiter"\]: is core\/limiter now/);
    assert.doesNotMatch(said, /To be put right/);
  });

  test("says where a plugin leads to a route for trying it out", async () => {
    const url = "http://localhost:12080/report-bounce";
    const plugins = { "core/http-bounce": { enabled: "main", url } };
    const { config, said } = await imported({ "config/default.json": JSON.stringify({ plugins }) });
    assert.deepEqual(config, { plugins });
    assert.match(said, /http-bounce"\]\.url: leads to a route .* for trying it out/);
  });

  test("reads ZoneMTA's template: TOML, with included files in the place of the directive", async () => {
    const { config, said } = await imported({
      "config/zonemta.toml":
        'name="MTA"\n[dns]\n# @include "dns-{env}.toml"\n[smtpInterfaces]\n# @include "interfaces/*.toml"\n',
      "config/dns-production.toml": "blockLocalAddresses=true\nnameservers=false\n",
      "config/interfaces/a.toml": '[a]\nenabled=true\nhost="127.0.0.1"\nport=2525\n',
      "config/interfaces/b.toml": '[b]\nenabled=true\nhost="::1"\nport=2526\nlmtp=true\n',
    });
    assert.deepEqual(config, {
      name: "MTA",
      dns: { blockLocalAddresses: true, nameservers: false },
      smtpInterfaces: {
        a: { enabled: true, host: "127.0.0.1", port: 2525 },
        b: { enabled: true, host: "::1", port: 2526, lmtp: true },
      },
    });
    assert.match(said, /written from 4 files/);
    assert.doesNotMatch(said, /nameservers/); // false is how ZoneMTA says that a key is not set
  });

  test("names each key that it cannot carry over, with the reason, and each that it changed", async () => {
    const { config, said } = await imported({
      "config/default.js": `module.exports = { ident: 'x', dbs: { mongo: 'mongodb://127.0.0.1' }, spelt: 'wrong',
        zones: { default: { connections: 5, processes: 2, senderDomains: ['a..b', 'c.example', 'd..e'] } },
        smtpInterfaces: { feeder: { port: 2525, cert: 'keys/cert.pem' } },
        pluginsPath: 'plugins',
        plugins: { 'core/email-bounce': 'main', 'core/unheard': { enabled: false, domain: 'example.com' },
          'modules/own': { enabled: 'receiver', at: () => 1 } } };`,
    });
    assert.deepEqual(config, {
      zones: { default: { connections: 10, senderDomains: ["c.example"] } },
      smtpInterfaces: { feeder: { port: 2525, cert: join(folder, `zone-mta-${runs - 1}`, "keys/cert.pem") } },
      pluginsPath: join(folder, `zone-mta-${runs - 1}`, "plugins"),
      plugins: { "core/email-bounce": { enabled: "main" }, "modules/own": { enabled: "receiver" } },
    });
    for (const line of [
      /^ {2}zones\.default\.connections: is 10 now/m,
      /^ {2}smtpInterfaces\.feeder\.cert: is .*keys\/cert\.pem now/m,
      /^ {2}ident: /m,
      /^ {2}dbs: there is no database/m,
      /^ {2}spelt: unknown key/m,
      /^ {2}zones\.default\.processes: .*ZONEFLEET_PROCESSES/m,
      /^ {2}zones\.default\.senderDomains\[0\]: expected a domain name/m,
      /^ {2}zones\.default\.senderDomains\[2\]: expected a domain name/m,
      /^ {2}plugins\["core\/unheard"\]: .*it was off/m,
      /^ {2}plugins\["modules\/own"\]: is loaded here too/m,
      /^ {2}pluginsPath: is .*plugins now/m,
      /^ {2}plugins\["modules\/own"\]\.at: it is no data/m,
    ])
      assert.match(said, line);
    assert.match(said, /To be put right before it can be used:[^]*smtpInterfaces\.feeder\.key: is missing/);
  });

  test("has whole paths of all files of a chain", async () => {
    const feeder = { key: "k.pem", cert: "c.pem", ca: ["one.pem", "/two.pem"] };
    const { config, root } = await imported({
      "config/default.json": JSON.stringify({ smtpInterfaces: { feeder } }),
    });
    assert.deepEqual(config, {
      smtpInterfaces: {
        feeder: {
          key: join(root, "k.pem"),
          cert: join(root, "c.pem"),
          ca: [join(root, "one.pem"), "/two.pem"],
        },
      },
    });
  });

  test("gives the reason that keys share once", async () => {
    const zones = { a: { processes: 2, logger: true }, b: { processes: 3 } };
    const { said } = await imported({
      "config/default.json": JSON.stringify({ zones, smtpInterfaces: { feeder: { processes: 2 } } }),
    });
    const [line, ...more] = said.split("\n").filter((one) => one.includes("ZONEFLEET_PROCESSES"));
    assert.match(
      line ?? "",
      /^ {2}zones\.a\.processes, zones\.b\.processes, smtpInterfaces\.feeder\.processes: /,
    );
    assert.deepEqual(more, []);
  });

  test("keeps the plugin that signs all mail with one key, with the whole path of that key", async () => {
    const plugin = { enabled: "sender", domain: "example.com", selector: "s1", signatureExpireIn: 3600 };
    const plugins = { "core/dkim": { ...plugin, path: "keys/k.pem" } };
    const { config, root, said } = await imported({
      "config/default.json": JSON.stringify({
        plugins,
        dkim: { enabled: true, hashAlgo: "sha1", debug: true },
      }),
    });
    assert.deepEqual(config, {
      plugins: { "core/dkim": { ...plugin, path: join(root, "keys/k.pem") } },
      dkim: { enabled: true },
    });
    assert.match(said, /dkim\.hashAlgo: expected sha256: receivers take no signature with SHA-1/);
  });

  test("says which options of that plugin have an effect here, and which could not", async () => {
    const plugin = {
      enabled: "sender",
      domain: "",
      selector: "s1",
      path: "/keys/k.pem",
      signTransportDomain: true,
    };
    const of = (options: object) =>
      imported({
        "config/default.json": JSON.stringify({ plugins: { "core/dkim": { ...plugin, ...options } } }),
      });
    const defaults = await of({ addSignatureTimestamp: false, signatureExpireIn: 0, headerFields: [] });
    assert.match(defaults.said, /signTransportDomain: has an effect here/);
    assert.doesNotMatch(defaults.said, /signatureExpireIn/);
    const kept = { ...plugin, addSignatureTimestamp: false, headerFields: [] };
    assert.deepEqual(defaults.config, { plugins: { "core/dkim": kept } });
    const ended = await of({
      addSignatureTimestamp: false,
      signatureExpireIn: 60,
      signTransportDomain: false,
    });
    assert.match(ended.said, /signatureExpireIn: it has no effect without addSignatureTimestamp/);
    assert.doesNotMatch(ended.said, /signTransportDomain/);
    const off = await of({ enabled: false });
    assert.doesNotMatch(off.said, /core\/dkim/);
  });

  test("lets a module read nothing but the folder of ZoneMTA, and start nothing", async () => {
    const { config } = await imported({
      "config/default.js": `const tried = (act) => { try { return act(), 'done'; } catch (error) { return error.code; } };
        module.exports = { name: [
          tried(() => require('fs').readFileSync('/etc/hostname')),
          tried(() => require('fs').writeFileSync(__dirname + '/written', '')),
          tried(() => require('child_process').execSync('true')),
        ].join(' ') };`,
    });
    const denied = "ERR_ACCESS_DENIED";
    assert.deepEqual(config, { name: `${denied} ${denied} ${denied}` });
  });

  test("heeds what ZoneMTA is given by its environment and its command line", async () => {
    const { config, said } = await imported(
      {
        "config/default.js": `module.exports = { api: { port: 12080, maildrop: true }, name: process.env.MTA_NAME,
          zones: { out: { pool: [], auth: { user: 'us', pass: process.env.RELAY_PASS } } } };`,
      },
      "config",
      ["--set", "api.port=12081", "--set", "zones.out.connections=3"],
      { APPCONF_api_port: "80", APPCONF_api_maildrop: "no", MTA_NAME: "Example" },
    );
    assert.deepEqual(config, {
      api: { port: 12_081, maildrop: false },
      name: "Example",
      zones: { out: { pool: [], connections: 3, auth: { user: "us" } } },
    });
    assert.match(said, /Changed:[^]*process\.env\.MTA_NAME: its value is in the file that is written/);
    assert.match(said, /Not carried over:[^]*process\.env\.RELAY_PASS: is asked for and not set here/);
    assert.match(said, /To be put right[^]*zones\.out\.auth\.pass: is missing/);
    const wrong = await imported({ "config/default.json": "{}" }, "config", ["--set", "api.port"]);
    assert.deepEqual([wrong.code, /--set a\.b=value/.test(wrong.complained)], [2, true]);
  });

  test("writes a file that only its owner reads, and none over one that is there", async () => {
    const files = { "config/default.json": '{ "name": "MTA" }', "zonefleet.config.json": "mine" };
    const refused = await imported(files);
    assert.equal(refused.code, 1);
    assert.match(refused.complained, /there already; --force/);
    assert.equal(await readFile(refused.target, "utf8"), "mine");
    const written = await imported({ "config/default.json": '{ "name": "MTA" }' });
    assert.equal((await stat(written.target)).mode & 0o777, 0o600);
    assert.equal((await imported(files, "config", ["--force"])).code, 0);
  });

  for (const [what, files, message] of [
    ["a folder without a configuration", { "config/readme.txt": "" }, /there is no default\.\*/],
    [
      "a module that throws",
      { "config/default.js": "throw new TypeError('no luck')" },
      /default\.js: cannot be evaluated: TypeError: no luck/,
    ],
    [
      "a module that exports no object",
      { "config/default.js": "module.exports = 1" },
      /default\.js: expected it to export an object/,
    ],
    ["TOML that is wrong", { "config/default.toml": "a = 1\nb" }, /default\.toml: line 2: /],
    ["JSON that is wrong", { "config/default.json": "{" }, /default\.json: /],
    ["an included file that is not there", { "config/default.toml": '# @include "x.toml"' }, /x\.toml: /],
    [
      "files that include each other",
      { "config/default.toml": '# @include "default.toml"' },
      /include each other/,
    ],
  ] as const)
    test(`refuses ${what}, and writes nothing`, async () => {
      const { code, complained, target } = await imported(files);
      assert.equal(code, 1);
      assert.match(complained, message);
      await assert.rejects(stat(target), { code: "ENOENT" });
    });
});
