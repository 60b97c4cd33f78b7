/** What a receiver makes of our DKIM signatures, with dkimpy in the receiver's place and each option of ZoneMTA's in ours. */

import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";

import { createTransport } from "nodemailer";

import { dkimRecord, dkimRecordName } from "#shared/domain/dkim-record.ts";
import { parseDkimKey } from "#shared/domain/dkim.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { configFolder } from "../support/config.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { httpPeer } from "../support/http-peer.ts";
import { pluginFiles } from "../support/plugin-files.ts";
import { pythonLacks, runPython } from "../support/python.ts";
import { queuedId, startRelay } from "../support/relay.ts";

const pem = (type: "rsa" | "ed25519"): string => {
  const pair =
    type === "rsa" ? generateKeyPairSync("rsa", { modulusLength: 2_048 }) : generateKeyPairSync("ed25519");
  return pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
};
const RSA = pem("rsa");
const ED = pem("ed25519");

const MAIL =
  "From: Anna <anna@sender.example>\r\nTo: ben@one.example\r\nSubject: Hello\r\nDate: Sat, 21 Nov 2026 05:00:00 +0000\r\n" +
  "Message-ID: <1@sender.example>\r\nX-Campaign: spring\r\nComments: none\r\n\r\nIt works.\r\n";

/** The names and values of a signature's tags, without white space. */
type Tags = ReadonlyMap<string, string>;

interface Received {
  readonly message: Buffer;
  readonly signatures: readonly Tags[];
  /** With these keys published, `selector._domainkey.domain` and PEM; `now`: seconds. */
  verify(keys: Readonly<Record<string, string>>, now?: number): unknown;
}

interface Envelope {
  readonly from: string;
  readonly to: string;
}

/** It takes a clock to be wrong by so much. */
const DKIMPY_LEEWAY_SECONDS = 10 * 3_600;
const ENVELOPE: Envelope = { from: "anna@sender.example", to: "ben@one.example" };

/** What arrives of each mail, sent by a relay of this configuration. */
async function receivedBy(
  config: ConfigInput,
  mails: readonly (string | Buffer)[],
  { envelope = ENVELOPE, folder }: { envelope?: Envelope; folder?: string } = {},
): Promise<Received[]> {
  await using mx = await startFakeMx();
  await using relay = await startRelay({
    dns: fakeDns(oneExample()),
    ...(folder !== undefined && { folder }),
    config: { ...config, zones: { default: { port: mx.port } } },
  });
  const transport = createTransport({ host: "127.0.0.1", port: relay.smtpPort, ignoreTLS: true });
  const received: Received[] = [];
  for (const [i, raw] of mails.entries()) {
    const { response } = await transport.sendMail({ envelope: { ...envelope }, raw });
    await relay.finished(queuedId(response));
    received.push(asReceived((await mx.waitFor(i + 1))[i]?.body ?? Buffer.alloc(0)));
  }
  transport.close();
  return received;
}

async function one(...given: [config: ConfigInput, mail?: string, where?: Parameters<typeof receivedBy>[2]]) {
  const [config, mail = MAIL, where = {}] = given;
  const [received] = await receivedBy(config, [mail], where);
  return received ?? assert.fail("nothing arrived");
}

function asReceived(message: Buffer): Received {
  const head = message.toString("latin1").split("\r\n\r\n", 1)[0] ?? "";
  const fields = head.match(/^DKIM-Signature:[^]*?(?=\r\n\S|$(?![^]))/gm) ?? [];
  return {
    message,
    signatures: fields.map(tagsOf),
    verify: (keys, now) => runPython("verify-dkim.py", asked(message, keys, now)),
  };
}

/** With these keys published, at this time in seconds; left out: the present. */
function asked(message: Buffer, keys: Readonly<Record<string, string>>, now?: number): object {
  const records = Object.fromEntries(Object.entries(keys).map(([name, key]) => recordOf(name, key)));
  return { message: message.toString("base64"), records, ...(now !== undefined && { now }) };
}

function tagsOf(field: string): Tags {
  const tags = field.slice("DKIM-Signature:".length).replaceAll(/\s/g, "").split(";");
  return new Map(tags.map((tag) => [tag.slice(0, tag.indexOf("=")), tag.slice(tag.indexOf("=") + 1)]));
}

function recordOf(name: string, privateKey: string): [name: string, text: string] {
  const [selector = "", domain = ""] = name.split("._domainkey.");
  const key = parseDkimKey({ domain, selector, privateKey });
  return [dkimRecordName(key), dkimRecord(key)];
}

const keyOf = (domain: string, selector: string, privateKey: string) => ({ domain, selector, privateKey });
const OURS = { dkim: { keys: [keyOf("sender.example", "s1", RSA), keyOf("sender.example", "e1", ED)] } };
const PUBLISHED = { "s1._domainkey.sender.example": RSA, "e1._domainkey.sender.example": ED };
const RSA_ALONE = { keys: [keyOf("sender.example", "s1", RSA)] };

describe("a receiver with dkimpy", { skip: pythonLacks("dkim", "nacl") }, () => {
  test("verifies mail of any form, RSA and Ed25519", async () => {
    const head = "From: anna@sender.example\r\nTo: ben@one.example\r\nMessage-ID: <1@sender.example>\r\n";
    const forms: Record<string, string | Buffer> = {
      "an empty body": `${head}\r\n`,
      "a body of empty lines": `${head}\r\n\r\n\r\n\r\n`,
      "white space that is folded, doubled and at the ends": `${head}Subject:\r\n folded \t at \r\n\tonce  \r\nX-A:  \r\n\r\n a \t b \r\n\r\n  \r\n`,
      "a header that is very long": `${head}Subject: ${"long ".repeat(180)}\r\nCc: ${Array.from({ length: 200 }, (_, i) => `c${i}@x.example`).join(",\r\n ")}\r\n\r\nx\r\n`,
      "8-bit content": Buffer.from(
        `${head}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\u{e9} \u{2603}\r\n`,
      ),
      "a line that is a dot, and a long one": `${head}\r\n.\r\n..\r\n${"x".repeat(990)}\r\n`,
      "headers that are there twice": `${head}Received: a\r\nReceived: b\r\nReferences: <1@x>\r\nReferences: <2@x>\r\n\r\nx\r\n`,
      "no header but From": "From: anna@sender.example\r\n\r\nx\r\n",
    };
    const received = await receivedBy(OURS, Object.values(forms));
    const verdicts = runPython(
      "verify-dkim.py",
      received.map(({ message }) => asked(message, PUBLISHED)),
    );
    const verified = Object.fromEntries(
      Object.keys(forms).map((form, i) => [form, (verdicts as unknown[])[i]]),
    );
    assert.deepEqual(verified, Object.fromEntries(Object.keys(forms).map((form) => [form, [true, true]])));
  });

  test("verifies mail with headers in UTF-8", async () => {
    const mail = MAIL.replace("Anna", "J\u{f6}rg").replace("Hello", "Gr\u{fc}\u{df}e \u{2603}");
    const envelope = { ...ENVELOPE, from: "j\u{f6}rg@sender.example" }; // nodemailer says SMTPUTF8 for such an address
    const received = await one(OURS, mail, { envelope });
    assert.match(received.message.toString(), /Subject: Gr\u{fc}\u{df}e \u{2603}/u);
    assert.deepEqual(received.verify(PUBLISHED), [true, true]);
  });

  test("finds the time and the end of a signature, and takes it until then", async () => {
    const before = Math.floor(Date.now() / 1_000);
    const mail = await one({ dkim: { ...RSA_ALONE, signatureExpireIn: 3_600 } });
    const [t = 0, x = 0] = ["t", "x"].map((tag) => Number(mail.signatures[0]?.get(tag)));
    assert.ok(t >= before && t <= Math.floor(Date.now() / 1_000), String(t));
    assert.equal(x, t + 3_600);
    assert.deepEqual(mail.verify(PUBLISHED, x), [true]);
    assert.deepEqual(mail.verify(PUBLISHED, x + DKIMPY_LEEWAY_SECONDS + 1), [false]);
  });

  test("finds neither where they are off", async () => {
    const mail = await one({ dkim: { ...RSA_ALONE, addSignatureTimestamp: false } });
    assert.deepEqual([mail.signatures[0]?.has("t"), mail.signatures[0]?.has("x")], [false, false]);
    assert.deepEqual(mail.verify(PUBLISHED), [true]);
  });

  test("finds the header fields of the operator's list signed, and those beside the usual ones", async () => {
    const headerFields = "From:Subject:X-Campaign:X-Missing";
    const own = await one({ dkim: { ...RSA_ALONE, headerFields } });
    assert.equal(own.signatures[0]?.get("h"), "From:From:Subject:Subject:X-Campaign");
    assert.deepEqual(own.verify(PUBLISHED), [true]);
    const more = await one({ dkim: { ...RSA_ALONE, additionalHeaderFields: ["X-Campaign", "Comments"] } });
    assert.match(more.signatures[0]?.get("h") ?? "", /^From:From:To:To:.*:X-Campaign:Comments$/);
    assert.deepEqual(more.verify(PUBLISHED), [true]);
    const changed = more.message.toString("latin1").replace("X-Campaign: spring", "X-Campaign: autumn");
    assert.deepEqual(asReceived(Buffer.from(changed, "latin1")).verify(PUBLISHED), [false]);
  });

  test("finds all mail signed by the key of core/dkim, whosever it is", async () => {
    const config = (options: object): ConfigInput => ({
      plugins: { "core/dkim": { enabled: "sender", selector: "s1", privateKey: RSA, ...options } },
    });
    const bounce = { from: "", to: "ben@one.example" };
    const other = { from: "b+1@bounces.example", to: "ben@one.example" };
    const domains = async (options: object, envelope: Envelope) => {
      const mail = await one(config(options), MAIL, { envelope });
      const found = mail.signatures.map((tags) => tags.get("d") ?? "");
      const published = Object.fromEntries(found.map((domain) => [`s1._domainkey.${domain}`, RSA]));
      assert.deepEqual(
        mail.verify(published),
        found.map(() => true),
      );
      return found;
    };
    assert.deepEqual(await domains({ domain: "relay.example" }, other), ["relay.example"]);
    assert.deepEqual(await domains({ domain: "relay.example" }, bounce), ["relay.example"]);
    assert.deepEqual(
      await domains({ domain: "" }, other),
      ["bounces.example"],
      "that of the return path, as in ZoneMTA",
    );
    assert.deepEqual(await domains({}, bounce), ["sender.example"], "without one that of From");
  });

  test("finds mail signed for the EHLO name it came by, where that was asked for and there is a key", async () => {
    const keys = [keyOf("sender.example", "s1", RSA), keyOf("out.relay.example", "h1", ED)];
    const pools = { default: [{ address: "127.0.0.1", name: "mx1.out.relay.example" }] };
    const published = { ...PUBLISHED, "h1._domainkey.out.relay.example": ED };
    const mail = await one({ pools, dkim: { keys, signTransportDomain: true } });
    assert.deepEqual(
      mail.signatures.map((tags) => tags.get("d")),
      ["sender.example", "out.relay.example"],
    );
    assert.deepEqual(mail.verify(published), [true, true]);
    const without = await one({ pools, dkim: { keys } });
    assert.deepEqual(
      without.signatures.map((tags) => tags.get("d")),
      ["sender.example"],
    );
    const noKey = await one({ pools, dkim: { ...RSA_ALONE, signTransportDomain: true } });
    assert.deepEqual(
      noKey.signatures.map((tags) => tags.get("d")),
      ["sender.example"],
    );
    const plugin = { enabled: "sender" as const, selector: "s1", privateKey: RSA, signTransportDomain: true };
    const ofPlugin = await one({ pools, plugins: { "core/dkim": plugin } });
    assert.deepEqual(
      ofPlugin.signatures.map((tags) => tags.get("d")),
      ["sender.example", "mx1.out.relay.example"],
    );
  });

  test("verifies keys of files and of domains in their own script", async (t) => {
    const folder = await configFolder(t);
    await mkdir(join(folder, "keys"));
    await writeFile(
      join(folder, "keys", "20261121._domainkey.sender.example.pem"),
      ED.replaceAll("\n", "\r\n"),
    );
    const escaped = RSA.replaceAll("\n", "\\n");
    const mail = `From: anna@news.b\u{fc}cher.example\r\n${MAIL.split("\r\n").slice(1).join("\r\n")}`;
    const config = { dkim: { keyFolder: "keys", keys: [keyOf("B\u{fc}cher.example", "s1", escaped)] } };
    const envelope = { ...ENVELOPE, from: "\u{e4}nna@sender.example" };
    const utf8 = await one(config, mail, { folder, envelope });
    assert.deepEqual(
      utf8.signatures.map((tags) => tags.get("d")),
      ["xn--bcher-kva.example"],
    );
    assert.deepEqual(utf8.verify({ "s1._domainkey.xn--bcher-kva.example": RSA }), [true]);
    const ofFile = await one(config, MAIL, { folder });
    assert.deepEqual(ofFile.verify({ "20261121._domainkey.sender.example": ED }), [true]);
  });

  test("verifies keys that the operator's server gives for one mail, signed as they say", async () => {
    const dkim = {
      keys: [
        {
          domainName: "other.example",
          keySelector: "m1",
          privateKey: RSA,
          headerFieldNames: "from:subject",
          additionalHeaderFieldNames: "x-campaign",
          signatureExpireIn: 60,
        },
        { domainName: "sender.example", keySelector: "e1", privateKey: ED },
      ],
    };
    await using server = await httpPeer(() => ({ status: 200, body: JSON.stringify({ dkim }) }));
    const plugins = { "core/http-config": { enabled: true, url: server.url } };
    const mail = await one({ plugins });
    const tags = mail.signatures.map((each) => [each.get("d"), each.has("x")]);
    assert.deepEqual(tags, [
      ["other.example", true],
      ["sender.example", false],
    ]);
    assert.equal(mail.signatures[0]?.get("h"), "from:from:subject:subject:x-campaign");
    assert.deepEqual(mail.verify({ ...PUBLISHED, "m1._domainkey.other.example": RSA }), [true, true]);
  });

  for (const hook of ["message:headers", "sender:connection", "sender:headers"])
    test(`verifies a key that a plugin gives in ${hook}`, async () => {
      const source = `module.exports.title = "keys";
        module.exports.init = (app, done) => {
          app.addHook(${JSON.stringify(hook)}, (mail, _, next) => {
            mail.dkim.keys.push({ domainName: "sender.example", keySelector: "s1", privateKey: app.config.pem, headerFieldNames: "from:to" });
            setImmediate(next);
          });
          done();
        };`;
      await using files = await pluginFiles({ "keys.js": source });
      const plugins = { keys: { enabled: true, pem: RSA } };
      const mail = await one({ pluginsPath: files.folder, plugins });
      assert.deepEqual(
        mail.signatures.map((tags) => tags.get("h")),
        ["from:from:to:to"],
      );
      assert.deepEqual(mail.verify(PUBLISHED), [true]);
    });

  for (const canonical of [
    ["simple", "simple"],
    ["relaxed", "simple"],
    ["simple", "relaxed"],
  ])
    test(`verifies what a client has signed itself, ${canonical.join("/")}, after it came by us`, async () => {
      const key = createPrivateKey(RSA).export({ type: "pkcs1", format: "pem" }).toString();
      const odd = MAIL.replace("Subject: Hello", "Subject:   Hello \t there\r\n   folded").replace(
        "works.",
        "works. \t \r\n\r\n",
      );
      const input = {
        message: Buffer.from(odd).toString("base64"),
        domain: "client.example",
        selector: "c",
        key,
        canonical,
      };
      const signed = runPython("sign-dkim.py", input);
      const [mail] = await receivedBy(OURS, [Buffer.from(String(signed), "base64")]);
      const published = { ...PUBLISHED, "c._domainkey.client.example": RSA };
      assert.deepEqual(mail?.verify(published), [true, true, true]);
    });
});

test("the public halves that are compared are those of the private keys", () => {
  const [, record] = recordOf("s1._domainkey.sender.example", RSA);
  const der = createPublicKey(RSA).export({ type: "spki", format: "der" });
  assert.ok(record.endsWith(`p=${der.toString("base64")}`));
});
