/** `zonefleet dns` and `doctor` with ZONEFLEET_BACKEND=aws: parts of a deployment, and Elastic IPs by their tags. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { parseConfig } from "#shared/runtime/config.ts";
import { printDeployedConfig } from "#shared/runtime/deployed-config.ts";
import { stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import type { AwsInstallation } from "../support/aws-relay-store.ts";
import { newAwsInstallation } from "../support/aws-relay-store.ts";
import type { CliFolder } from "../support/cli-process.ts";
import { cliFolder } from "../support/cli-process.ts";
import type { DnsServer } from "../support/dns-server.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { parseZoneFile } from "../support/zone-parser.ts";

stopLocalAwsAtEnd();

interface Finding {
  readonly status: string;
  readonly topic: string;
  readonly about: string;
  readonly says: string;
}

interface Address {
  readonly ip: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** What EC2 answers to DescribeAddresses; nothing else is asked of it. */
async function startEc2(addresses: readonly Address[]): Promise<{ server: Server; url: string }> {
  const items = addresses.map(({ ip, tags }) => {
    const all = Object.entries(tags).map(
      ([key, value]) => `<item><key>${key}</key><value>${value}</value></item>`,
    );
    return `<item><publicIp>${ip}</publicIp><allocationId>eipalloc-${ip}</allocationId><domain>vpc</domain><tagSet>${all.join("")}</tagSet></item>`;
  });
  const answer = `<DescribeAddressesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId><addressesSet>${items.join("")}</addressesSet></DescribeAddressesResponse>`;
  const server = createServer((request, response) => {
    request.resume().once("end", () => response.setHeader("content-type", "text/xml").end(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe("with ZONEFLEET_BACKEND=aws", { skip: noLocalAws() }, () => {
  let folder: CliFolder;
  let dns: DnsServer;
  let installation: AwsInstallation;
  let ec2: { server: Server; url: string };
  let env: Readonly<Record<string, string>>;
  before(async () => {
    [folder, dns, installation] = await Promise.all([cliFolder(), startDnsServer(), newAwsInstallation()]);
    const { names } = installation;
    const mine = { "zonefleet:installation": names.table, "zonefleet:name": "m1.example.com" };
    ec2 = await startEc2([
      { ip: "192.0.2.1", tags: mine },
      { ip: "192.0.2.2", tags: { ...mine, "zonefleet:installation": "another" } },
      { ip: "192.0.2.3", tags: {} },
    ]);
    env = {
      ...installation.env,
      AWS_ENDPOINT_URL_EC2: ec2.url,
    };
    await folder.configure({
      hostname: "mail.example.com",
      dns: { nameservers: [dns.address] },
      pools: { default: [{ address: "elastic", name: "m1.example.com" }] },
    });
  });
  after(async () => {
    ec2.server.close();
    await dns.close();
    await folder[Symbol.asyncDispose]();
  });

  async function doctor(more: Readonly<Record<string, string>> = {}) {
    const { code, out, err } = await folder.zonefleet(["doctor", "--json"], { ...env, ...more });
    assert.notEqual(out, "", err);
    const findings = JSON.parse(out) as Finding[];
    return { code, of: (topic: string) => findings.filter((finding) => finding.topic === topic) };
  }

  test("doctor finds table, bucket and queues of the deployment, and its Elastic IPs", async () => {
    const { of } = await doctor();
    const { names } = installation;
    assert.deepEqual(
      of("reach").map(({ status, about }) => `${status} ${about}`),
      [
        `ok table ${names.table}`,
        `ok bucket ${names.bucket}`,
        `ok queue ${names.queuePrefix}default`,
        `ok queue ${names.queuePrefix}bounces`,
      ],
    );
    assert.equal(of("Elastic IPs")[0]?.status, "ok");
    assert.match(of("Elastic IPs")[0]?.says ?? "", /^3 in the account and region, 1 of this deployment/);
    assert.deepEqual(
      of("forward DNS").map(({ about }) => about),
      ["m1.example.com 192.0.2.1"],
    );
    assert.deepEqual(
      of("API keys").map(({ status }) => status),
      ["failure"],
    );
    assert.deepEqual(of("data folder"), []);
  });

  test("doctor names the parts that are not there, and ends with exit code 1", async () => {
    const { code, of } = await doctor({ ZONEFLEET_BUCKET: "not-deployed", ZONEFLEET_TABLE: "not-deployed" });
    const statuses = of("reach").map(({ status }) => status);
    assert.deepEqual([code, ...statuses], [1, "failure", "failure", "ok", "ok"]);
  });

  test("doctor on a host tells that the secrets of its configuration are not to be had, and goes on", async () => {
    const { names } = installation;
    const key = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    const dkim = { keys: [{ domain: "example.com", selector: "s1", privateKey: key }] };
    const config = parseConfig({ hostname: "mail.example.com", dkim }, { source: null, baseDir: "/" });
    const file = join(folder.path, "zonefleet.deployed.json");
    await writeFile(file, printDeployedConfig(config));
    const { code, of } = await doctor({
      ZONEFLEET_CONFIG: file,
      ZONEFLEET_SECRET: "file:///nowhere/secret.json",
    });
    assert.equal(code, 1);
    assert.deepEqual(
      of("reach").map(({ status, about }) => `${status} ${about}`),
      [
        `ok table ${names.table}`,
        `ok bucket ${names.bucket}`,
        `ok queue ${names.queuePrefix}default`,
        `ok queue ${names.queuePrefix}bounces`,
        "failure secret file:///nowhere/secret.json",
      ],
    );
    assert.ok(of("DKIM").some(({ says }) => says.includes("not all could be read")));
  });

  test("dns prints the Elastic IPs of the deployment, and none of others", async () => {
    const { out, err } = await folder.zonefleet(["dns"], env);
    const addresses = parseZoneFile(out).filter(({ type }) => type === "A");
    assert.deepEqual(
      addresses.map(({ name, data }) => [name, ...data]),
      [["m1.example.com.", "192.0.2.1"]],
      err,
    );
  });
});
