/** `zonefleet doctor` as a process, against a real name server and a real mail host on this machine. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import type { CliFolder } from "../../support/cli-process.ts";
import { cliFolder } from "../../support/cli-process.ts";
import type { DnsServer, ServedName } from "../../support/dns-server.ts";
import { startDnsServer } from "../../support/dns-server.ts";

interface Finding {
  readonly status: string;
  readonly topic: string;
  readonly about: string;
  readonly says: string;
  readonly todo: string | null;
}

function pemOfKey(): string {
  return generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

/** A mail host that greets, and keeps what it is told. */
async function startMailHost(greeting: string): Promise<{ server: Server; port: number; heard: string[] }> {
  const heard: string[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (data) => heard.push(data.toString()));
    socket.write(greeting);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port, heard };
}

const pem = pemOfKey();
let folder: CliFolder;
let dns: DnsServer;
let published: string;

const configOf = (more: object = {}) => ({
  hostname: "m1.example.com",
  api: { port: 1 },
  dns: { nameservers: [dns.address], timeout: 1_000 },
  dkim: { enabled: true, keys: [{ domain: "example.com", selector: "s1", privateKey: pem }] },
  pools: { default: [{ address: "127.0.0.1", name: "m1.example.com" }] },
  ...more,
});

before(async () => {
  folder = await cliFolder();
  dns = await startDnsServer();
  await mkdir(join(folder.path, "data"));
  await folder.configure(configOf());
  published = await readPublished();
});
after(async () => {
  await dns.close();
  await folder[Symbol.asyncDispose]();
});

const ALL_WELL = (record: string): Record<string, ServedName> => ({
  "m1.example.com": { a: ["192.0.2.1"] },
  "192.0.2.1": { ptr: ["m1.example.com"] },
  "example.com": { txt: ["v=spf1 include:_spf.example.com ~all"] },
  "_spf.example.com": { txt: ["v=spf1 ip4:192.0.2.0/28 -all"] },
  "_dmarc.example.com": { txt: ["v=DMARC1; p=none"] },
  "s1._domainkey.example.com": { txt: [record] },
  "there.example": { mx: [[10, "mx.there.example"]] },
  "mx.there.example": { a: ["127.0.0.1"] },
});

async function doctor(options: readonly string[], { ip = "192.0.2.1" } = {}) {
  const args = ["doctor", "--json", "--ip", `m1.example.com=${ip}`, ...options];
  const { code, out, err } = await folder.zonefleet(args);
  assert.notEqual(out, "", err);
  const findings = JSON.parse(out) as Finding[];
  const of = (topic: string): Finding[] => findings.filter((finding) => finding.topic === topic);
  return { code, err, findings, of };
}

/** The DKIM record that `zonefleet dns` says is to be published. */
async function readPublished(): Promise<string> {
  const { out } = await folder.zonefleet(["dns", "--json"]);
  const { records } = JSON.parse(out) as { records: { name: string; value: string }[] };
  return records.find(({ name }) => name === "s1._domainkey.example.com")?.value ?? "";
}

function serve(names: Record<string, ServedName>): void {
  for (const name of Object.keys(dns.names)) delete dns.names[name];
  Object.assign(dns.names, names);
}

describe("zonefleet doctor", () => {
  test("finds nothing to do where all is published, and ends with exit code 0", async () => {
    await folder.configure(configOf());
    serve(ALL_WELL(published));
    const host = await startMailHost("220 mx.there.example ESMTP\r\n");
    try {
      const { code, findings, of, err } = await doctor(["--to", `there.example:${host.port}`]);
      assert.equal(code, 0, err + JSON.stringify(findings, null, 1));
      for (const topic of ["forward DNS", "reverse DNS", "SPF", "DKIM", "DMARC", "port 25", "data folder"])
        assert.deepEqual(
          of(topic).map(({ status }) => status),
          ["ok"],
          topic,
        );
      assert.match(of("port 25")[0]?.says ?? "", /220 mx\.there\.example ESMTP/);
      assert.ok(host.heard.join("").length === 0 || host.heard.join("") === "QUIT\r\n", host.heard.join(""));
    } finally {
      host.server.close();
    }
  });

  const faults: [
    why: string,
    names: Record<string, ServedName>,
    topic: string,
    says: RegExp,
    todo: RegExp,
  ][] = [
    [
      "a name without an address",
      { "m1.example.com": {} },
      "forward DNS",
      /no A record/,
      /m1\.example\.com\. A 192\.0\.2\.1/,
    ],
    [
      "a name that leads elsewhere",
      { "m1.example.com": { a: ["192.0.2.9"] } },
      "forward DNS",
      /192\.0\.2\.9 only/,
      /Publish/,
    ],
    [
      "an address without a name",
      { "192.0.2.1": { ptr: "nxdomain" } },
      "reverse DNS",
      /no PTR/,
      /PTR record of 192\.0\.2\.1 to m1/,
    ],
    [
      "an address that has another name",
      { "192.0.2.1": { ptr: ["host.isp.example"] } },
      "reverse DNS",
      /leads to host\.isp\.example/,
      /PTR/,
    ],
    [
      "SPF without the address",
      { "_spf.example.com": { txt: ["v=spf1 -all"] } },
      "SPF",
      /softfail/,
      /ip4:192\.0\.2\.1/,
    ],
    ["no SPF", { "example.com": {} }, "SPF", /no SPF record/, /v=spf1 ip4:192\.0\.2\.1 ~all/],
    [
      "a key that is not published",
      { "s1._domainkey.example.com": {} },
      "DKIM",
      /not published/,
      /zonefleet dns/,
    ],
    [
      "another key",
      { "s1._domainkey.example.com": { txt: ["v=DKIM1; k=ed25519; p=AAAA"] } },
      "DKIM",
      /another key/,
      /zonefleet dns/,
    ],
    ["no DMARC", { "_dmarc.example.com": {} }, "DMARC", /no DMARC/, /v=DMARC1; p=none/],
    [
      "DMARC without a policy",
      { "_dmarc.example.com": { txt: ["v=DMARC1; p=maybe"] } },
      "DMARC",
      /no policy/,
      /p=none/,
    ],
  ];
  for (const [why, names, topic, says, todo] of faults)
    test(`tells of ${why} and what to do, and ends with exit code 1`, async () => {
      await folder.configure(configOf());
      serve({ ...ALL_WELL(published), ...names });
      const { code, of, findings, err } = await doctor([]);
      const [finding] = of(topic);
      assert.deepEqual([code, finding?.status], [1, "failure"], JSON.stringify(finding));
      assert.match(finding?.says ?? "", says);
      assert.match(finding?.todo ?? "", todo);
      assert.equal(findings.filter(({ status }) => status === "failure").length, 1);
      assert.match(err, /1 of \d+ checks failed/);
    });

  test("blames nobody while the DNS is silent, and ends in bounded time", async () => {
    await folder.configure(configOf({ dns: { nameservers: [dns.address], timeout: 50 } }));
    serve({ "*.com": { silent: true }, "192.0.2.1": { silent: true } });
    const { code, of } = await doctor([]);
    assert.equal(code, 0);
    for (const topic of ["forward DNS", "reverse DNS", "SPF", "DKIM", "DMARC"])
      assert.deepEqual(
        of(topic).map(({ status }) => status),
        ["warning"],
        topic,
      );
  });

  test("says that port 25 is closed where nobody answers, and that a mail host refuses us where it does", async () => {
    await folder.configure(configOf());
    serve(ALL_WELL(published));
    const host = await startMailHost("554 5.7.1 go away\r\n");
    const refused = await doctor(["--to", `there.example:${host.port}`]);
    host.server.close();
    await once(host.server, "close");
    assert.deepEqual(
      refused.of("port 25").map(({ status }) => status),
      ["warning"],
    );
    assert.match(refused.of("port 25")[0]?.says ?? "", /554 5\.7\.1 go away/);
    const closed = await doctor(["--to", `there.example:${host.port}`]);
    assert.deepEqual(
      closed.of("port 25").map(({ status }) => status),
      ["failure"],
    );
    assert.match(closed.of("port 25")[0]?.todo ?? "", /AWS/);
  });

  test("tells of a listed address only when it is asked to look", async () => {
    await folder.configure(configOf());
    serve({
      ...ALL_WELL(published),
      "1.2.0.192.zen.spamhaus.org": { a: ["127.0.0.3"] },
      "1.2.0.192.bl.spamcop.net": { a: ["127.255.255.254"] },
    });
    assert.deepEqual((await doctor([])).of("blocklist"), []);
    const statuses = (await doctor(["--blocklists"])).of("blocklist").map(({ status }) => status);
    assert.deepEqual(statuses, ["failure", "warning", "ok", "ok"]);
  });

  test("tells of an API that nobody can use, and of a certificate that nobody trusts", async () => {
    const submission = { host: "0.0.0.0", port: 587, authentication: true, starttls: true };
    const tls = {
      key: join(import.meta.dirname, "../../data/tls/test-only-key.pem"),
      cert: join(import.meta.dirname, "../../data/tls/test-only-cert.pem"),
    };
    await folder.configure(
      configOf({
        api: { host: "0.0.0.0", port: 1 },
        smtpInterfaces: { submission: { ...submission, ...tls } },
      }),
    );
    serve(ALL_WELL(published));
    const { code, of } = await doctor([]);
    assert.equal(code, 1);
    assert.deepEqual(
      of("API keys").map(({ status }) => status),
      ["failure"],
    );
    assert.match(of("API keys")[0]?.todo ?? "", /api-key add/);
    const [certificate] = of("certificate");
    assert.equal(certificate?.about, "submission m1.example.com");
    assert.equal(certificate.status, "warning");
    assert.match(certificate.todo ?? "", /m1\.example\.com refuse it/);
  });

  test("for people prints a line for each check, what to do below it, and the sum", async () => {
    await folder.configure(configOf());
    serve({ ...ALL_WELL(published), "192.0.2.1": { ptr: "nxdomain" } });
    const { code, out } = await folder.zonefleet(["doctor", "--ip", "m1.example.com=192.0.2.1"]);
    assert.equal(code, 1);
    assert.match(out, /^ok {7}forward DNS {2}m1\.example\.com 192\.0\.2\.1: /m);
    assert.match(out, /^failure {2}reverse DNS {2}192\.0\.2\.1 m1\.example\.com: .*\n {9}→ /m);
    assert.match(out, /^skipped {2}port 25 .*\n {9}→ Say --to <domain>/m);
    assert.match(out, /\nok: \d+, warnings: \d+, failures: 1, not looked at: \d+\n$/);
  });
});
