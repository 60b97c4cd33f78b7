import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";

import { here, parse, refusal } from "../../support/config.ts";
import { parseConfig } from "#shared/runtime/config.ts";

const privateKey = generateKeyPairSync("ed25519")
  .privateKey.export({ type: "pkcs8", format: "pem" })
  .toString();
const USUAL = { headerFields: null, additionalHeaderFields: [], timestamp: true, expireInSeconds: null };
const plugin = { enabled: "sender", domain: "a.example", selector: "s", privateKey };
const withPlugin = (options: object) => ({ plugins: { "core/dkim": { ...plugin, ...options } } });
const dkimOf = (input: unknown) => parseConfig(input, here).dkim;

describe("what is said of DKIM signatures", () => {
  test("is little: all mail is signed with a time, and for good", () => {
    assert.deepEqual(parse({}).dkim, {
      enabled: true,
      keys: [],
      allMailKey: null,
      terms: USUAL,
      signTransportDomain: false,
    });
  });

  test("may be all that ZoneMTA's plugin knows, in the section of its own too", () => {
    const said = {
      headerFields: ["From", "Subject"],
      additionalHeaderFields: "X-One : x-two:X-ONE",
      hashAlgo: "sha256",
      signTransportDomain: true,
      addSignatureTimestamp: true,
      signatureExpireIn: 3_600,
    };
    const terms = {
      headerFields: ["From", "Subject"],
      additionalHeaderFields: ["X-ONE", "x-two"],
      timestamp: true,
      expireInSeconds: 3_600,
    };
    const section = dkimOf({ dkim: said });
    assert.deepEqual([section.terms, section.signTransportDomain], [terms, true]);
    const { allMailKey, terms: others, signTransportDomain } = dkimOf(withPlugin(said));
    assert.deepEqual(allMailKey, { domain: "a.example", selector: "s", privateKey, terms });
    assert.deepEqual([others, signTransportDomain], [USUAL, true], "the plugin speaks of its own key");
  });

  test("of all keys holds for that of the plugin, where it says nothing else", () => {
    const section = { signatureExpireIn: 60, additionalHeaderFields: ["X-A"], headerFields: "from:to" };
    const ofPlugin = (options: object) => dkimOf({ dkim: section, ...withPlugin(options) }).allMailKey?.terms;
    assert.deepEqual(ofPlugin({ headerFields: [], additionalHeaderFields: [] }), {
      headerFields: ["from", "to"],
      additionalHeaderFields: ["X-A"],
      timestamp: true,
      expireInSeconds: 60,
    });
    const own = { signatureExpireIn: 0, addSignatureTimestamp: false, additionalHeaderFields: ["X-B"] };
    assert.deepEqual(ofPlugin(own), {
      headerFields: ["from", "to"],
      additionalHeaderFields: ["X-B"],
      timestamp: false,
      expireInSeconds: null,
    });
  });

  test("of the plugin may leave out the domain, as in ZoneMTA, but for the selector and the key", () => {
    for (const domain of [undefined, ""])
      assert.equal(dkimOf(withPlugin({ domain })).allMailKey?.domain, null);
    assert.equal(
      dkimOf(withPlugin({ domain: "b\u{fc}cher.example" })).allMailKey?.domain,
      "xn--bcher-kva.example",
    );
    assert.equal(dkimOf(withPlugin({ enabled: false, selector: undefined })).allMailKey, null);
    assert.deepEqual(refusal(withPlugin({ selector: undefined })), [
      'plugins["core/dkim"].selector: is missing: by what name is the key published?',
    ]);
    assert.deepEqual(refusal(withPlugin({ privateKey: undefined })), [
      'plugins["core/dkim"]: expected either privateKey (a PEM text) or path (of a PEM file)',
    ]);
  });

  const refused: [section: object, line: string][] = [
    [
      { headerFields: ["Subject", "To"] },
      "dkim.headerFields: expected From among them: verifiers take no signature without it (RFC 6376 section 5.4), found a list of 2",
    ],
    [
      { headerFields: "from:a;b" },
      'dkim.headerFields: expected names of header fields, in a list or with colons between them, found "from:a;b"',
    ],
    [{ additionalHeaderFields: 5 }, "dkim.additionalHeaderFields: expected a string or a list, found 5"],
    [
      { additionalHeaderFields: Array.from({ length: 101 }, (_, i) => `X-${i}`) },
      "dkim.additionalHeaderFields: expected at most 100 names, found a list of 101",
    ],
    [
      { hashAlgo: "sha1" },
      'dkim.hashAlgo: expected sha256: receivers take no signature with SHA-1 (RFC 8301 section 3.1), and with sha256 the same key goes on signing, found "sha1"',
    ],
    [{ signatureExpireIn: -1 }, "dkim.signatureExpireIn: expected at least 0, found -1"],
    [
      { signatureExpireIn: 60, addSignatureTimestamp: false },
      "dkim.signatureExpireIn: needs addSignatureTimestamp: an end is counted from the time of signing",
    ],
    [{ signatureExpiresIn: 60 }, "dkim.signatureExpiresIn: unknown key; did you mean signatureExpireIn?"],
    [
      { keys: [{ domain: "a.example", selector: "no selector", privateKey }] },
      'dkim.keys[0].selector: expected a DKIM selector, such as s1 or 20261121, found "no selector"',
    ],
  ];
  for (const [section, line] of refused) {
    test(line, () => {
      assert.deepEqual(refusal({ dkim: section }), [line]);
    });
  }

  test("is refused of the plugin in the same words", () => {
    assert.deepEqual(refusal(withPlugin({ headerFields: ["to"] })), [
      'plugins["core/dkim"].headerFields: expected From among them: verifiers take no signature without it (RFC 6376 section 5.4), found a list of 1',
    ]);
    assert.deepEqual(refusal(withPlugin({ signTransportDomains: true })), [
      'plugins["core/dkim"].signTransportDomains: unknown key; did you mean signTransportDomain?',
    ]);
  });

  test("gives no record two keys", () => {
    const keys = [{ domain: "a.example", selector: "s", privateKey }];
    assert.deepEqual(refusal({ dkim: { keys }, ...withPlugin({}) }), [
      "dkim.keys[0]: there is another key for s._domainkey.a.example",
    ]);
  });
});
