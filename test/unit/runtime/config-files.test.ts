import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";

import { parseConfig } from "#shared/runtime/config.ts";
import { configFolder, here, refusal } from "../../support/config.ts";
import { TEST_CERT, TEST_KEY } from "../../support/scripted-peer.ts";

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
    const baseDir = await configFolder(t);
    await writeFile(join(baseDir, "dkim.pem"), ed25519);
    const from = { source: here.source, baseDir };
    const expected = [{ domain: "a.example", selector: "s", privateKey: ed25519 }];
    assert.deepEqual(parseConfig(dkim({ path: "dkim.pem" }), from).dkim.keys, expected);
    assert.deepEqual(parseConfig(dkim({ privateKey: ed25519 }), from).dkim.keys, expected);
  });

  test("of an interface may have their chain in one file or in several, as ZoneMTA takes them", async (t) => {
    const baseDir = await configFolder(t);
    await writeFile(join(baseDir, "ca.pem"), TEST_CERT);
    const caOf = (ca: string | string[]) => {
      const feeder = { starttls: true, key: TEST_KEY, cert: TEST_CERT, ca };
      const config = parseConfig({ smtpInterfaces: { feeder } }, { source: here.source, baseDir });
      return config.smtpInterfaces[0]?.tls?.ca;
    };
    assert.equal(caOf("ca.pem"), TEST_CERT);
    assert.equal(caOf(["ca.pem", TEST_CERT]), `${TEST_CERT}\n${TEST_CERT}`);
    assert.throws(
      () => caOf(["ca.pem", "gone.pem"]),
      /feeder\.ca\[1\]: cannot read .*gone\.pem: no such file/,
    );
  });

  test("of a folder are called as their records; what is not, or is no key, is named", async (t) => {
    const baseDir = await configFolder(t);
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
    assert.deepEqual(refusal(dkim({ privateKey: pem(768) })), [
      "dkim.keys[0].privateKey: has 768 bits, and receivers ignore it: make one of 2048 bits",
    ]);
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
      type: "pkcs8",
      format: "pem",
    });
    assert.deepEqual(refusal(dkim({ privateKey: ec.toString() })), [
      "dkim.keys[0].privateKey: is of the type ec: DKIM knows RSA and Ed25519",
    ]);
    const [line = ""] = refusal(
      dkim({ privateKey: "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----" }),
    );
    assert.match(line, /^dkim\.keys\[0\]\.privateKey: is not a private key/);
    assert.doesNotMatch(line, /c2VjcmV0/);
  });

  test("of 1024 bits, which are in the DNS of many who come from ZoneMTA, are taken", () => {
    const privateKey = pem(1_024);
    assert.equal(parseConfig(dkim({ privateKey }), here).dkim.keys[0]?.privateKey, privateKey);
  });

  test("may have a number as selector, as a date", () => {
    const config = dkim({ selector: "20261121", privateKey: ed25519 });
    assert.equal(parseConfig(config, here).dkim.keys[0]?.selector, "20261121");
  });

  test("twice under one name are refused", () => {
    const key = { domain: "a.example", selector: "s", privateKey: ed25519 };
    assert.deepEqual(refusal({ dkim: { keys: [key, key] } }), [
      "dkim.keys[1]: there is another key for s._domainkey.a.example",
    ]);
  });
});
