import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";

import { dkimRecord, dkimRecordName, judgeDkimRecord } from "#shared/domain/dkim-record.ts";
import { parseDkimKey } from "#shared/domain/dkim.ts";

/** The key of RFC 8463, appendix A.2, in the PEM form of its 32 bytes. */
const RFC_8463 = {
  privateKey: Buffer.from("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=", "base64"),
  record: "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
};

function rsaKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return parseDkimKey({ domain: "example.com", selector: "S1", privateKey: pem });
}

describe("the record of a DKIM key", () => {
  test("of Ed25519 is that of RFC 8463", () => {
    const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), RFC_8463.privateKey]);
    const privateKey = `-----BEGIN PRIVATE KEY-----\n${der.toString("base64")}\n-----END PRIVATE KEY-----\n`;
    const key = parseDkimKey({ domain: "football.example.com", selector: "brisbane", privateKey });
    assert.equal(dkimRecordName(key), "brisbane._domainkey.football.example.com");
    assert.equal(dkimRecord(key), RFC_8463.record);
    assert.deepEqual(judgeDkimRecord(RFC_8463.record, key), { kind: "matches", testing: false });
  });

  const key = rsaKey();
  const published = dkimRecord(key).split("p=")[1] as string;
  const verdicts: [why: string, text: string, verdict: object][] = [
    ["as it is printed", dkimRecord(key), { kind: "matches", testing: false }],
    [
      "with blanks inside, and without version and kind",
      ` p = ${published.slice(0, 9)} ${published.slice(9)} ; `,
      { kind: "matches", testing: false },
    ],
    ["that is being tested", `v=DKIM1; t=y:s; p=${published}`, { kind: "matches", testing: true }],
    ["of another key", dkimRecord(rsaKey()), { kind: "other-key" }],
    ["of another kind", `v=DKIM1; k=ed25519; p=${published}`, { kind: "other-key" }],
    ["that was revoked", "v=DKIM1; p=", { kind: "revoked" }],
    ["of something else", "v=spf1 -all", { kind: "broken", detail: "its version is spf1 -all" }],
    ["without a key", "v=DKIM1; k=rsa", { kind: "broken", detail: "it has no p=" }],
    ["for SHA-1 only", `h=sha1; p=${published}`, { kind: "broken", detail: "its h= leaves out sha256" }],
    ["not for mail", `s=tlsrpt; p=${published}`, { kind: "broken", detail: "its s= leaves out email" }],
    ["that is no list", `p=${published}; p=`, { kind: "broken", detail: "it is no list of tags" }],
  ];
  for (const [why, text, verdict] of verdicts)
    test(`${why} is judged ${Object.values(verdict).join(" ")}`, () =>
      assert.deepEqual(judgeDkimRecord(text, key), verdict));

  test("of RSA may have the bare key, which verifiers take too", () => {
    const bare = createPublicKey(key.key).export({ type: "pkcs1", format: "der" }).toString("base64");
    assert.deepEqual(judgeDkimRecord(`p=${bare}`, key), { kind: "matches", testing: false });
  });
});
