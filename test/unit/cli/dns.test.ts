/** `zonefleet dns` as a process; what it prints is read by a parser of its own. */

import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";

import { embeddedSecretStore } from "#shared/embedded/secret-store.ts";
import { join } from "node:path";
import type { CliFolder } from "../../support/cli-process.ts";
import { cliFolder } from "../../support/cli-process.ts";
import type { ParsedRecord } from "../../support/zone-parser.ts";
import { parseZoneFile } from "../../support/zone-parser.ts";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
const stored = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }) as string;

const CONFIG = {
  hostname: "mail.example.com",
  dkim: { enabled: true, keys: [{ domain: "example.com", selector: "s1", privateKey: pem }] },
  pools: {
    default: [
      { address: "192.0.2.1", name: "m1.example.com" },
      { address: "2001:db8::1", name: "m1.example.com" },
      { address: "10.0.0.7", name: "m2.example.com" },
    ],
    relayed: [{ address: "192.0.2.99", name: "inside.example.com" }],
  },
  zones: {
    shop: { senderDomains: ["shop.example"] },
    inside: { pool: "relayed", host: "relay.example" },
  },
  plugins: { "core/srs": { enabled: true, secret: "0123456789abcdef", rewriteDomain: "b.example.com" } },
};

let folder: CliFolder;
before(async () => {
  folder = await cliFolder();
  await folder.configure(CONFIG);
});
after(() => folder[Symbol.asyncDispose]());

async function records(...options: string[]): Promise<ParsedRecord[]> {
  const { code, out, err } = await folder.zonefleet(["dns", ...options]);
  assert.equal(code, 0, err);
  return parseZoneFile(out);
}

const find = (all: readonly ParsedRecord[], type: string, name: string) =>
  all.filter((record) => record.type === type && record.name === name).map(({ data }) => data);

describe("zonefleet dns", () => {
  test("prints names and addresses that lead to one another, and no address that others cannot see", async () => {
    const all = await records("--ip", "m2.example.com=192.0.2.2");
    assert.deepEqual(find(all, "A", "m1.example.com."), [["192.0.2.1"]]);
    assert.deepEqual(find(all, "AAAA", "m1.example.com."), [["2001:db8::1"]]);
    assert.deepEqual(find(all, "A", "m2.example.com."), [["192.0.2.2"]]);
    assert.deepEqual(find(all, "PTR", "2.2.0.192.in-addr.arpa."), [["m2.example.com."]]);
    const v6 = `${"1".padEnd(24, "0").split("").join(".")}.8.b.d.0.1.0.0.2.ip6.arpa.`;
    assert.deepEqual(find(all, "PTR", v6), [["m1.example.com."]]);
    assert.doesNotMatch(JSON.stringify(all), /10\.0\.0\.7|192\.0\.2\.99|inside/);
  });

  test("prints one SPF record for each name: all addresses in one place, and an include of it for each domain", async () => {
    const all = await records("--ip", "m2.example.com=192.0.2.2", "--sender", "more.example");
    const spf = all.filter(({ type, data }) => type === "TXT" && data[0]?.startsWith("v=spf1"));
    assert.equal(new Set(spf.map(({ name }) => name)).size, spf.length);
    const include = [["v=spf1 include:_spf.mail.example.com ~all"]];
    for (const domain of ["example.com.", "shop.example.", "more.example.", "b.example.com."])
      assert.deepEqual(find(all, "TXT", domain), include, domain);
    const listed = [["v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 ip4:192.0.2.2 -all"]];
    assert.deepEqual(find(all, "TXT", "_spf.mail.example.com."), listed);
    assert.deepEqual(find(all, "TXT", "m1.example.com."), [["v=spf1 a -all"]]);
  });

  test("prints each DKIM key in strings that make the public half of the private key", async () => {
    const all = await records();
    const [strings = []] = find(all, "TXT", "s1._domainkey.example.com.");
    assert.ok(strings.length > 1, "a key of 2048 bits does not fit one string");
    const [, p = ""] = /; p=(.*)$/.exec(strings.join("")) ?? [];
    const published = createPublicKey({ key: Buffer.from(p, "base64"), format: "der", type: "spki" });
    assert.ok(published.equals(createPublicKey(privateKey)));
  });

  test("prints keys of the store beside those of the configuration", async () => {
    const secrets = embeddedSecretStore({ folder: join(folder.path, "elsewhere", "secrets") });
    await secrets.put(
      "dkim",
      "of-shop",
      JSON.stringify({ domain: "shop.example", selector: "e1", privateKey: stored }),
    );
    const { out } = await folder.zonefleet(["dns"], { ZONEFLEET_DATA: "elsewhere" });
    const [strings] = find(parseZoneFile(out), "TXT", "e1._domainkey.shop.example.");
    assert.match(strings?.join("") ?? "", /^v=DKIM1; k=ed25519; p=[\w+/]{43}=$/);
  });

  test("prints the key for all domains in each that mail is signed for, as far as it knows them", async () => {
    const plugin = { enabled: "sender", selector: "k", privateKey: stored, signTransportDomain: true };
    const config = { ...CONFIG, dkim: {}, plugins: { "core/dkim": plugin } };
    await writeFile(join(folder.path, "any.json"), JSON.stringify(config));
    const { out } = await folder.zonefleet(["dns", "--sender", "more.example"], {
      ZONEFLEET_CONFIG: "any.json",
    });
    const names = parseZoneFile(out).flatMap(({ name }) =>
      name.startsWith("k._domainkey.") ? [name.slice(13)] : [],
    );
    const hosts = ["mail.example.com.", "m1.example.com.", "m2.example.com."];
    assert.deepEqual(names.toSorted(), ["more.example.", "shop.example.", ...hosts].toSorted());
    assert.doesNotMatch(out, /There is no DKIM key/);
  });

  test("names hosts of AWS where they are said, and the load balancer itself as the mail host", async () => {
    const smtp = ["--smtp", "nlb.elb.eu-central-1.amazonaws.com."];
    const all = await records(
      "--api",
      "d-1.execute-api.eu-central-1.amazonaws.com",
      ...smtp,
      "--domain",
      "m.example.com",
    );
    assert.deepEqual(find(all, "CNAME", "smtp.m.example.com."), [["nlb.elb.eu-central-1.amazonaws.com."]]);
    assert.deepEqual(find(all, "CNAME", "api.m.example.com."), [
      ["d-1.execute-api.eu-central-1.amazonaws.com."],
    ]);
    // RFC 2181 §10.3: no alias
    assert.deepEqual(find(all, "MX", "b.example.com."), [["10", "nlb.elb.eu-central-1.amazonaws.com."]]);
  });

  test("prints a DMARC record for domains of senders only, and those of MTA-STS when they are wanted", async () => {
    const without = await records();
    const dmarc = without.filter(({ name }) => name.startsWith("_dmarc.")).map(({ name }) => name);
    assert.deepEqual(dmarc.toSorted(), ["_dmarc.example.com.", "_dmarc.shop.example."]);
    assert.ok(!without.some(({ name }) => name.startsWith("_mta-sts.")));
    const all = await records("--mta-sts");
    assert.match(
      find(all, "TXT", "_mta-sts.b.example.com.")[0]?.join("") ?? "",
      /^v=STSv1; id=[0-9a-z]{1,32};$/,
    );
    assert.match(
      find(all, "TXT", "_smtp._tls.b.example.com.")[0]?.join("") ?? "",
      /^v=TLSRPTv1; rua=mailto:.+@.+/,
    );
  });

  test("--json has the same records, and says what is missing", async () => {
    const { out } = await folder.zonefleet(["dns", "--json"]);
    const { records: all, notes } = JSON.parse(out) as {
      records: { name: string; type: string }[];
      notes: { note: string }[];
    };
    const lines = (await records()).map(({ name, type }) => `${name} ${type}`);
    assert.deepEqual(
      all.map(({ name, type }) => `${name}. ${type}`),
      lines,
    );
    assert.ok(notes.some(({ note }) => /public address of m2\.example\.com is not known/.test(note)));
  });

  test("tells what is to be known in whole sentences: wrapped in the zone file, and as it is in JSON", async () => {
    const { out: zoneFile } = await folder.zonefleet(["dns", "--mta-sts"]);
    const comments = zoneFile.split("\n").filter((line) => line.startsWith("; "));
    for (const line of comments) assert.ok(line.length <= 120, line);
    const { out } = await folder.zonefleet(["dns", "--mta-sts", "--json"]);
    const { notes } = JSON.parse(out) as { notes: { note: string }[] };
    for (const { note } of notes) assert.match(note, /^[A-Z].*\.$|^[A-Z].*:\n {4}.*[^.]$/s);
    const printed = comments.map((line) => line.slice("; ".length).trim()).join(" ");
    for (const { note } of notes) assert.ok(printed.includes(note.replace(/\s+/g, " ")), note);
  });

  test("refuses what is no address and no domain, with exit code 2", async () => {
    for (const options of [
      ["--ip", "m1.example.com"],
      ["--ip", "m1=x"],
      ["--sender", "a b"],
      ["--smtp", "[::1]"],
      ["x"],
    ]) {
      const { code, out } = await folder.zonefleet(["dns", ...options]);
      assert.deepEqual([code, out], [2, ""], options.join(" "));
    }
  });
});
