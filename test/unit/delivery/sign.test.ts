import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";

import type { Address } from "#shared/domain/address.ts";
import type { DkimConfig } from "#shared/domain/config.ts";
import { USUAL_TERMS } from "#shared/domain/dkim-terms.ts";
import { parseDkimKey } from "#shared/domain/dkim.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import { signer } from "../../../sender/delivery/sign.ts";
import type { SignerDeps } from "../../../sender/delivery/sign.ts";
import { message } from "../../support/builders.ts";

const pem = (bits: number | null = null) =>
  (bits === null
    ? generateKeyPairSync("ed25519")
    : generateKeyPairSync("rsa", { modulusLength: bits })
  ).privateKey
    .export({ type: "pkcs8", format: "pem" })
    .toString();
const privateKey = pem();
const FROM = "anna@sender.example" as Address;
const BLOCK = Buffer.from(`From: ${FROM}\r\n\r\n`);
const base = message();
const mail = message({ from: FROM, returnPath: FROM, body: { ...base.body, dkimBodyHash: "aGFzaA==" } });
const key = (domain: string, selector: string) => ({ domain, selector, privateKey });

function setUp(dkim: Partial<DkimConfig> = {}, deps: Partial<SignerDeps> = {}) {
  const at = { now: 1_700_000_000_000 as EpochMs, warnings: [] as string[] };
  const config = {
    enabled: true,
    keys: [],
    allMailKey: null,
    terms: USUAL_TERMS,
    signTransportDomain: false,
  };
  const made = signer({
    dkim: { ...config, ...dkim },
    storedKeys: async () => [],
    messageKey: () => assert.fail("no key came with the mail"),
    hostname: "mx.example",
    name: "ZoneFleet",
    now: () => at.now,
    onWarning: (text) => void at.warnings.push(text),
    ...deps,
  });
  const head = async (ehloName: string | null = "out.example", of = mail) =>
    (await made.sign(of, async () => BLOCK, { id: of.id, recipient: null, ehloName })).toString();
  return { at, head, names: async (...asked: Parameters<typeof head>) => namesIn(await head(...asked)) };
}

/** `selector@domain` of each signature. */
function namesIn(head: string): string[] {
  const flat = head.replaceAll(/\r\n\s+/g, "");
  return [...flat.matchAll(/d=([^;]+);\s*s=([^;]+);/g)].map(
    ([, domain, selector]) => `${selector}@${domain}`,
  );
}

describe("the signer of a mail", () => {
  test("signs a mail once, however often it is sent", async () => {
    const { at, head } = setUp({ keys: [key("sender.example", "s")] });
    const first = await head();
    at.now = (at.now + 600_000) as EpochMs;
    assert.equal(await head(), first);
    assert.match(first, /t=1700000000;/);
  });

  test("signs it anew each time where signatures have an end, which might be over", async () => {
    const terms = { ...USUAL_TERMS, expireInSeconds: 60 };
    const { at, head } = setUp({ keys: [key("sender.example", "s")], terms });
    assert.match(await head(), /t=1700000000; x=1700000060;/);
    at.now = (at.now + 600_000) as EpochMs;
    assert.match(await head(), /t=1700000600; x=1700000660;/);
  });

  test("signs as the sending host only where that was asked for, by keys of its name and of those above", async () => {
    const keys = [
      key("sender.example", "a"),
      key("out.example", "h"),
      key("mx.out.example", "m"),
      key("x.example", "x"),
    ];
    assert.deepEqual(await setUp({ keys }).names("mx.out.example"), ["a@sender.example"]);
    const asked = setUp({ keys, signTransportDomain: true });
    assert.deepEqual(await asked.names("MX.out.example"), [
      "a@sender.example",
      "m@mx.out.example",
      "h@out.example",
    ]);
    assert.deepEqual(
      await asked.names("out.example"),
      ["a@sender.example", "h@out.example"],
      "not what is cached",
    );
    for (const none of [null, "[192.0.2.1]", "other.example"])
      assert.deepEqual(await asked.names(none), ["a@sender.example"]);
  });

  test("signs all mail with the key for it, once where it is that of the author's domain too", async () => {
    const ofAll = (domain: string | null) => ({ domain, selector: "p", privateKey });
    const other = { ...mail, returnPath: "b@bounces.example" as Address };
    const plugin = setUp({ allMailKey: ofAll("relay.example"), keys: [key("sender.example", "s")] });
    assert.deepEqual(await plugin.names(), ["p@relay.example", "s@sender.example"]);
    const anyDomain = () => setUp({ allMailKey: ofAll(null), signTransportDomain: true });
    assert.deepEqual(await anyDomain().names("out.example", other), ["p@bounces.example", "p@out.example"]);
    assert.deepEqual(await anyDomain().names("sender.example"), ["p@sender.example"]);
    assert.deepEqual(await anyDomain().names(null, { ...mail, returnPath: null }), ["p@sender.example"]);
    assert.deepEqual(await anyDomain().names(null, { ...mail, returnPath: null, from: null }), []);
  });

  test("takes the key of the configuration where the store has another for the same record", async () => {
    const stored = parseDkimKey({ ...key("sender.example", "s"), privateKey: pem(2_048) });
    const { head } = setUp({ keys: [key("sender.example", "s")] }, { storedKeys: async () => [stored] });
    assert.match(await head(), /a=ed25519-sha256/);
    assert.doesNotMatch(await head(), /a=rsa-sha256/);
  });

  test("signs nothing while DKIM is off, nor what was accepted while it was", async () => {
    const keys = [key("sender.example", "s")];
    assert.deepEqual(await setUp({ keys, enabled: false }).names(), []);
    const unhashed = { ...mail, body: { ...mail.body, dkimBodyHash: null } };
    assert.deepEqual(await setUp({ keys }).names(null, unhashed), []);
  });

  test("tells what should be changed about keys, and not the keys", () => {
    const keys = [{ ...key("sender.example", "s"), privateKey: pem(1_024) }, key("a.example", "t")];
    const { at } = setUp({ keys });
    assert.equal(at.warnings.length, 1);
    assert.match(at.warnings[0] ?? "", /s\._domainkey\.sender\.example has 1024 bits: make one of 2048/);
    assert.doesNotMatch(at.warnings[0] ?? "", /PRIVATE/);
  });
});
