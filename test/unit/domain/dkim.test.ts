import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { describe, test } from "node:test";

import fc from "fast-check";

import type { Domain } from "#shared/domain/address.ts";
import { RelaxedBodyHasher } from "#shared/domain/dkim-body.ts";
import { keysFor, parseDkimKey, signatures } from "#shared/domain/dkim.ts";
import type { DkimKey } from "#shared/domain/dkim.ts";
import type { DkimTerms } from "#shared/domain/dkim-terms.ts";
import { USUAL_TERMS } from "#shared/domain/dkim-terms.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import { pythonLacks, runPython } from "../../support/python.ts";
import { TEST_CERT } from "../../support/test-certificate.ts";
import { verifyDkim } from "../../support/verify-dkim.ts";

const pem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();
const rsaPem = pem(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey);
const edPem = pem(generateKeyPairSync("ed25519").privateKey);

const rsa = parseDkimKey({ domain: "Sender.Example", selector: "20261120", privateKey: rsaPem });
const ed = parseDkimKey({ domain: "sender.example", selector: "ed._x", privateKey: edPem });
const now = 1_700_000_000_999 as EpochMs;

function hashOf(content: string): string {
  const hasher = new RelaxedBodyHasher();
  hasher.update(Buffer.from(content, "latin1"));
  return hasher.digest();
}

function signed(block: string, content: string, keys: readonly DkimKey[]): Buffer {
  const headerBlock = Buffer.from(block);
  const head = signatures({ headerBlock, bodyHash: hashOf(content), keys, terms: USUAL_TERMS, now });
  return Buffer.concat([Buffer.from(head), headerBlock, Buffer.from(content, "latin1")]);
}

const publicKeys = Object.fromEntries(
  [rsa, ed].map((key) => [`${key.selector}._domainkey.${key.domain}`, createPublicKey(key.key)]),
);

const block =
  "Received: by mx.example; Fri, 20 Nov 2026 22:53:58 +0000\r\nFrom: Anna <anna@sender.example>\r\nTo: ben@dest.example,\r\n\tcarl@dest.example  \r\n" +
  "SUBJECT :  caf\u{e9}  \t hello\r\nDate: Fri, 20 Nov 2026 22:53:58 +0000\r\nMessage-ID: <a@sender.example>\r\nComments: one\r\n" +
  "List-Unsubscribe: <https://x.example/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: a:b:c:d\r\n" +
  "References: <1@x>\r\nReferences: <2@x>\r\n\r\n";
const content = "Hello \t world  \r\n\r\n  indented\ttext\r\n\u{e9}\r\n\r\n\r\n";

describe("the body hash", () => {
  // RFC 6376 §3.4.5 has the canonical forms; the hashes are of those by a shell's sha256sum
  const known: Record<string, string> = {
    "": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "\r\n\r\n": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    " \t\r\n \r\n": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    " C \r\nD \t E\r\n\r\n\r\n": "unak6JHq0wL+Q1HP7dW1tjBx9FLA6DffoZ0qrLwbbpo=",
    " C\r\nD E": "unak6JHq0wL+Q1HP7dW1tjBx9FLA6DffoZ0qrLwbbpo=",
  };
  for (const [body, hash] of Object.entries(known)) {
    test(`of ${JSON.stringify(body)} is known`, () => {
      assert.equal(hashOf(body), hash);
    });
  }

  test("any number of empty lines is held back over many chunks, and written when more content comes", () => {
    const empty = Buffer.from("\r\n".repeat(50_000));
    const hasher = new RelaxedBodyHasher();
    hasher.update(Buffer.from("a\r\n"));
    for (let i = 0; i < 5; i++) hasher.update(empty);
    hasher.update(Buffer.from(" \t b"));
    assert.equal(hasher.digest(), hashOf(`a\r\n${"\r\n".repeat(250_000)} b\r\n`));
  });
});

describe("signatures", () => {
  test("RSA and Ed25519 both verify, each alone, whatever the white space in headers and body", () => {
    assert.deepEqual(verifyDkim(signed(block, content, [rsa, ed]), publicKeys), [true, true]);
    assert.deepEqual(verifyDkim(signed(block, content, [ed]), publicKeys), [true]);
    assert.deepEqual(verifyDkim(signed("From: a@b.example\r\n\r\n", "", [rsa]), publicKeys), [true]);
  });

  test(
    "dkimpy verifies them too, and refuses them with a second Subject",
    { skip: pythonLacks("dkim", "nacl") },
    () => {
      const records = Object.fromEntries(
        [rsa, ed].map((key) => {
          const der = createPublicKey(key.key).export({ type: "spki", format: "der" });
          const p = key === rsa ? der : der.subarray(-32); // RFC 8463 §4.2: the bare key
          return [
            `${key.selector}._domainkey.${key.domain}`,
            `v=DKIM1; k=${key === rsa ? "rsa" : "ed25519"}; p=${p.toString("base64")}`,
          ];
        }),
      );
      const ask = (message: Buffer): unknown =>
        runPython("verify-dkim.py", { message: message.toString("base64"), records });
      const message = signed(block.replace("SUBJECT :", "SUBJECT:"), content, [rsa, ed]); // it reads no obsolete form
      assert.deepEqual(ask(message), [true, true]);
      assert.deepEqual(ask(Buffer.concat([Buffer.from("Subject: forged\r\n"), message])), [false, false]);
    },
  );

  for (const forged of [
    "Subject: forged",
    "From: eve@evil.example",
    "To: x@y.example",
    "Reply-To: eve@evil.example",
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    "List-Id: <evil.example>",
    "Content-Type: text/html",
    "Feedback-ID: x",
  ]) {
    test(`a ${JSON.stringify(forged)} added on top or below breaks them`, () => {
      const message = signed(block, content, [rsa, ed]);
      const top = Buffer.concat([Buffer.from(`${forged}\r\n`), message]);
      assert.deepEqual(verifyDkim(top, publicKeys), [false, false]);
      const below = message.toString("latin1").replace("\r\n\r\n", `\r\n${forged}\r\n\r\n`);
      assert.deepEqual(verifyDkim(Buffer.from(below, "latin1"), publicKeys), [false, false]);
    });
  }

  test("hops may add Received, and lists a Sender", () => {
    const message = Buffer.concat([
      Buffer.from("Received: by y\r\nSender: z@y\r\n"),
      signed(block, content, [rsa]),
    ]);
    assert.deepEqual(verifyDkim(message, publicKeys), [true]);
  });

  test("a changed body breaks them", () => {
    const message = signed(block, content, [rsa]).toString("latin1").replace("indented", "intended");
    assert.deepEqual(verifyDkim(Buffer.from(message, "latin1"), publicKeys), [false]);
  });

  test("tags, order and line length", () => {
    const head = signatures({
      headerBlock: Buffer.from(block),
      bodyHash: hashOf(content),
      keys: [rsa, ed],
      terms: USUAL_TERMS,
      now,
    });
    const lines = head.split("\r\n");
    assert.ok(lines.every((line) => line.length <= 78));
    assert.ok(head.endsWith("\r\n"));
    assert.equal(lines.filter((line) => line.startsWith("DKIM-Signature: v=1; a=")).length, 2);
    const flat = head.replaceAll("\r\n ", "");
    assert.match(
      flat,
      /^DKIM-Signature: v=1; a=rsa-sha256; c=relaxed\/relaxed; d=sender\.example;s=20261120; t=1700000000; /,
    );
    assert.match(flat, /h=From:From:To:To:Cc:Subject:Subject:/);
    assert.match(flat, /List-Unsubscribe:List-Unsubscribe:List-Unsubscribe-Post:List-Unsubscribe-Post:/);
    assert.match(flat, /References:References;/);
    assert.doesNotMatch(flat, /Comments|Received|l=/);
  });

  test("a flood of headers of one name makes no flood of a signature, which still verifies", () => {
    const flood = `${"To: x@y.example\r\n".repeat(5_000)}${"References: <x@y>\r\n".repeat(5_000)}From: a@b.example\r\n\r\n`;
    const message = signed(flood, content, [rsa]);
    assert.deepEqual(verifyDkim(message, publicKeys), [true]);
    assert.ok(message.length - flood.length < 3_000);
  });

  const tagsOf = (head: string) =>
    new Map(
      head
        .replaceAll(/\r\n */g, "")
        .replace("DKIM-Signature:", "")
        .split(";")
        .map((tag) => {
          const [name = "", ...value] = tag.split("=");
          return [name.trim(), value.join("=").trim()] as const;
        }),
    );
  const signedOn = (terms: Partial<DkimTerms>, headerBlock = block, ofKey: Partial<DkimTerms> = {}) => {
    const keys = [{ ...rsa, terms: ofKey }];
    const given = { ...USUAL_TERMS, ...terms };
    const bodyHash = hashOf(content);
    const head = signatures({ headerBlock: Buffer.from(headerBlock), bodyHash, keys, terms: given, now });
    const message = Buffer.concat([Buffer.from(head + headerBlock), Buffer.from(content, "latin1")]);
    assert.deepEqual(verifyDkim(message, publicKeys), [true]);
    return tagsOf(head);
  };

  test("have a time, an end counted from it in seconds, or neither", () => {
    const times = (terms: Partial<DkimTerms>) => {
      const tags = signedOn(terms);
      return [tags.get("t"), tags.get("x")];
    };
    assert.deepEqual(times({}), ["1700000000", undefined]);
    assert.deepEqual(times({ expireInSeconds: 3_600 }), ["1700000000", "1700003600"]);
    assert.deepEqual(times({ timestamp: false }), [undefined, undefined]);
    assert.deepEqual(
      times({ timestamp: false, expireInSeconds: 60 }),
      [undefined, undefined],
      "as in ZoneMTA",
    );
  });

  test("cover the header fields of a list, which are signed as they always are", () => {
    const fields = (terms: Partial<DkimTerms>) => signedOn(terms).get("h");
    const headerFields = ["subject", "References", "From", "Comments", "X-None", "Cc", "SUBJECT"];
    assert.equal(fields({ headerFields }), "subject:subject:References:References:From:From:Comments:Cc");
    assert.equal(
      fields({ headerFields: ["From"], additionalHeaderFields: ["X-No", "Received"] }),
      "From:From:Received",
    );
  });

  test("cover more header fields than is usual, and each of those that are there", () => {
    const usual = signedOn({}).get("h");
    const more = `X-One: a\r\nx-one: b\r\n${block}`;
    assert.equal(
      signedOn({ additionalHeaderFields: ["X-One", "Subject"] }, more).get("h"),
      `${usual}:X-One:X-One`,
    );
  });

  test("verify whatever the list and the headers, and break when one is added that nobody is to add", () => {
    const name = fc.constantFrom(
      "From",
      "subject",
      "Cc",
      "X-A",
      "x-a",
      "Received",
      "DKIM-Signature",
      "Sender",
      "List-Id",
    );
    const value = fc.string({
      unit: fc.constantFrom("a", ":", ";", " ", "\t", "\r\n ", "\u{e9}"),
      maxLength: 12,
    });
    const list = fc.array(name, { maxLength: 6 }).map((names) => ["From", ...names]);
    const mail = fc.record({
      headers: fc.array(fc.tuple(name, value), { maxLength: 12 }),
      list,
      more: fc.array(name, { maxLength: 4 }),
    });
    fc.assert(
      fc.property(mail, ({ headers, list: headerFields, more: additionalHeaderFields }) => {
        const lines = headers.filter(([key]) => key !== "From").map(([key, text]) => `${key}:${text}\r\n`);
        const headerBlock = Buffer.from(`From: a@b.example\r\n${lines.join("")}\r\n`, "latin1");
        const terms = { ...USUAL_TERMS, headerFields, additionalHeaderFields };
        const head = signatures({ headerBlock, bodyHash: hashOf(content), keys: [ed], terms, now });
        const message = Buffer.concat([Buffer.from(head), headerBlock, Buffer.from(content, "latin1")]);
        assert.equal(verifyDkim(message, publicKeys)[0], true);
        const names = new Set([...headerFields, ...additionalHeaderFields].map((each) => each.toLowerCase()));
        for (const forged of ["From", "Subject", "Cc", "List-Id"].filter((each) =>
          names.has(each.toLowerCase()),
        )) {
          const added = message.toString("latin1").replace("\r\n\r\n", `\r\n${forged}: forged\r\n\r\n`);
          assert.equal(verifyDkim(Buffer.from(added, "latin1"), publicKeys)[0], false, forged);
        }
      }),
      { numRuns: 100 },
    );
  });

  test("of one key may have terms of their own, and what those leave out is as for all", () => {
    const terms = { additionalHeaderFields: ["Comments"], expireInSeconds: 60 };
    const tags = signedOn(terms, block, { headerFields: ["From"], expireInSeconds: 5 });
    assert.deepEqual([tags.get("h"), tags.get("x")], ["From:From:Comments", "1700000005"]);
  });

  test("no keys, no signature", () => {
    assert.equal(
      signatures({ headerBlock: Buffer.from(block), bodyHash: "", keys: [], terms: USUAL_TERMS, now }),
      "",
    );
  });
});

describe("keys", () => {
  const invalid = (message: RegExp): object => ({ name: "DomainError", code: "invalid-config", message });

  test("are told apart by algorithm, domains in lower case", () => {
    assert.deepEqual([rsa.algorithm, rsa.domain, rsa.warning], ["rsa-sha256", "sender.example", null]);
    assert.deepEqual([ed.algorithm, ed.warning], ["ed25519-sha256", null]);
    const idn = parseDkimKey({ domain: "b\u{fc}cher.example", selector: "S", privateKey: edPem });
    assert.deepEqual([idn.domain, idn.selector], ["xn--bcher-kva.example", "s"]);
  });

  test("a PKCS#1 key is read too", () => {
    const pkcs1 = createPrivateKey(rsaPem).export({ type: "pkcs1", format: "pem" }).toString();
    assert.equal(
      parseDkimKey({ domain: "a.example", selector: "s", privateKey: pkcs1 }).algorithm,
      "rsa-sha256",
    );
  });

  test("a key whose line ends were escaped once too often is read as it was meant", () => {
    for (const escaped of [
      edPem.replaceAll("\n", "\\n"),
      edPem.replaceAll("\n", "\\r\\n"),
      edPem.replaceAll("\n", "\r\n"),
    ]) {
      const read = parseDkimKey({ domain: "sender.example", selector: "s", privateKey: escaped });
      assert.ok(createPublicKey(read.key).equals(createPublicKey(ed.key)));
    }
  });

  test("what is taken for a private key is named, with what to do", () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const encrypted = { cipher: "aes-256-cbc", passphrase: "hunter2" };
    const wrong: [pem: string | Buffer, why: RegExp][] = [
      [publicKey.export({ type: "spki", format: "pem" }), /is a public key: that is for the DNS/],
      [publicKey.export({ type: "pkcs1", format: "pem" }), /is a public key/],
      [privateKey.export({ type: "pkcs8", format: "pem", ...encrypted }), /has a passphrase: .*openssl pkey/],
      [privateKey.export({ type: "pkcs1", format: "pem", ...encrypted }), /has a passphrase/],
      [TEST_CERT, /is a certificate/],
    ];
    for (const [privateKey, why] of wrong)
      assert.throws(
        () => parseDkimKey({ domain: "a.example", selector: "s", privateKey: privateKey.toString() }),
        invalid(why),
      );
  });

  test("RSA under 2048 bits is warned of, under 1024 refused", () => {
    const sized = (modulusLength: number): string =>
      pem(generateKeyPairSync("rsa", { modulusLength }).privateKey);
    const small = parseDkimKey({ domain: "a.example", selector: "s", privateKey: sized(1024) });
    assert.match(small.warning ?? "", /1024 bits: make one of 2048/);
    const tiny = { domain: "a.example", selector: "s", privateKey: sized(768) };
    assert.throws(() => parseDkimKey(tiny), invalid(/s\._domainkey\.a\.example has 768 bits/));
  });

  test("what is no key, no domain or no selector is refused, and the key is not told", () => {
    const source = { domain: "a.example", selector: "s", privateKey: edPem };
    assert.throws(
      () => parseDkimKey({ ...source, privateKey: "hunter2" }),
      (error: Error) => {
        assert.match(error.message, /is not a private key in PEM/);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      },
    );
    const ec = pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    assert.throws(() => parseDkimKey({ ...source, privateKey: ec }), invalid(/type ec/));
    for (const domain of ["", "[192.0.2.1]", "a b"]) {
      assert.throws(() => parseDkimKey({ ...source, domain }), invalid(/not a domain name/));
    }
    for (const selector of ["", "a b", "a;b", "a..b", "x".repeat(64)]) {
      assert.throws(() => parseDkimKey({ ...source, selector }), invalid(/selector/));
    }
  });

  test("sign for their domain and those below, the nearest first", () => {
    const key = (domain: string, selector: string): DkimKey => ({
      ...ed,
      domain: domain as Domain,
      selector,
    });
    const keys = [
      key("example", "1"),
      key("a.example", "2"),
      key("mail.a.example", "3"),
      key("a.example", "4"),
      key("b.example", "5"),
    ];
    const names = (from: string): string[] => keysFor(keys, from as Domain).map((found) => found.selector);
    assert.deepEqual(names("mail.a.example"), ["3", "2", "4", "1"]);
    assert.deepEqual(names("a.example"), ["2", "4", "1"]);
    assert.deepEqual(names("notb.example"), ["1"]);
    assert.deepEqual(names("other.test"), []);
  });
});
