import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";

import type { DkimKeysDeps } from "#shared/app/dkim-keys.ts";
import { listDkimKeys, putDkimKey, removeDkimKey } from "#shared/app/dkim-keys.ts";
import type { DkimAlgorithm } from "#shared/app/dkim-schemas.ts";
import { domainKeys } from "#shared/app/domain-keys.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { HOUR, MINUTE } from "#shared/domain/units.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";

const clock = fakeClock();
const newPem = () =>
  generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString();

const NONE_CONFIGURED: DkimKeysDeps["dkim"] = { keys: [], allMailKey: null };

function put(
  secrets: SecretStore,
  [domain, selector]: readonly [string, string],
  { pem = "", algorithm }: { pem?: string; algorithm?: DkimAlgorithm } = {},
  dkim = NONE_CONFIGURED,
) {
  return putDkimKey({ secrets, dkim }, { domain, selector, pem, algorithm }, clock.now());
}

function refusedAs(code: string) {
  return (error: unknown) => error instanceof DomainError && error.code === code;
}

describe("a DKIM key that is put", () => {
  test("is answered with the record to publish, and never with itself", async () => {
    const secrets = memorySecrets();
    const pem = newPem();
    const answer = await put(secrets, ["A.Example", "S1"], { pem });
    const p = createPublicKey(pem).export({ type: "spki", format: "der" }).subarray(-32).toString("base64");
    const { created: _, ...key } = answer.key;
    assert.deepEqual(key, {
      domain: "a.example",
      selector: "s1",
      algorithm: "ed25519-sha256",
      dns: { name: "s1._domainkey.a.example", type: "TXT", value: `v=DKIM1; k=ed25519; p=${p}` },
      warning: null,
    });
    const listed = await listDkimKeys(secrets, { domain: "a.example", cursor: undefined, pageSize: 10 });
    assert.deepEqual(listed, { keys: [answer.key], cursor: null });
  });

  test("without a body is made: RSA of 2048 bits, or Ed25519", async () => {
    const secrets = memorySecrets();
    const rsa = await put(secrets, ["a.example", "rsa"]);
    assert.deepEqual([rsa.key.algorithm, rsa.key.warning], ["rsa-sha256", null]);
    const p = /p=(.+)$/.exec(rsa.key.dns.value)?.[1] ?? "";
    const made = createPublicKey({ key: Buffer.from(p, "base64"), format: "der", type: "spki" });
    assert.equal(made.asymmetricKeyDetails?.modulusLength, 2048);
    const ed = await put(secrets, ["a.example", "ed"], { algorithm: "ed25519" });
    assert.equal(ed.key.algorithm, "ed25519-sha256");
  });

  test("twice at once is one key, and both are told its record: the other's would be published in vain", async () => {
    const secrets = memorySecrets();
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => put(secrets, ["a.example", "s"], { algorithm: "ed25519" })),
    );
    assert.equal(new Set(answers.map(({ key }) => key.dns.value)).size, 1);
    const { keys } = await listDkimKeys(secrets, { domain: undefined, cursor: undefined, pageSize: 10 });
    assert.deepEqual(keys, [answers[0]?.key]);
    const own = await Promise.allSettled(
      [newPem(), newPem()].map((pem) => put(secrets, ["a.example", "t"], { pem })),
    );
    assert.deepEqual(own.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
    const refused = own.find((each) => each.status === "rejected");
    assert.ok(refusedAs("conflict")(refused?.reason));
  });

  test("is refused where the configuration has one, which would go on signing", async () => {
    const secrets = memorySecrets();
    const [selector, privateKey] = ["s", newPem()];
    const configured = (allMailKey: DkimKeysDeps["dkim"]["allMailKey"]) => ({
      keys: [{ domain: "A.example", selector, privateKey }],
      allMailKey,
    });
    const refused = refusedAs("conflict");
    await assert.rejects(put(secrets, ["a.example", "S"], {}, configured(null)), refused);
    const ofRelay = configured({ domain: "relay.example", selector: "p", privateKey });
    await assert.rejects(put(secrets, ["relay.example", "p"], {}, ofRelay), refused);
    await put(secrets, ["b.example", "p"], { pem: privateKey }, ofRelay);
    const ofAll = configured({ domain: null, selector: "p", privateKey });
    await assert.rejects(put(secrets, ["c.example", "p"], {}, ofAll), refused);
    await put(secrets, ["a.example", "t"], { pem: privateKey }, ofAll);
  });

  test("again stays as it is, so that a request may be sent twice; another key for the place is refused", async () => {
    const secrets = memorySecrets();
    const made = await put(secrets, ["a.example", "s"], { algorithm: "ed25519" });
    assert.deepEqual(await put(secrets, ["a.example", "s"], { algorithm: "ed25519" }), made);
    assert.deepEqual(await put(secrets, ["a.example", "s"]), made);
    await assert.rejects(put(secrets, ["a.example", "s"], { algorithm: "rsa" }), refusedAs("conflict"));
    await assert.rejects(put(secrets, ["a.example", "s"], { pem: newPem() }), refusedAs("conflict"));
  });

  test("must be a key, for a domain and a selector that are names", async () => {
    const secrets = memorySecrets();
    const invalid = refusedAs("invalid-request");
    await assert.rejects(put(secrets, ["a.example", "s"], { pem: "no key" }), invalid);
    await assert.rejects(put(secrets, ["[192.0.2.1]", "s"]), invalid);
    await assert.rejects(put(secrets, ["a.example", "a/b"]), invalid);
    await assert.rejects(put(secrets, ["a.example", "s"], { pem: newPem(), algorithm: "ed25519" }), invalid);
    assert.deepEqual(await secrets.list("dkim-domain"), []);
  });

  test("is one of ten of its domain at most", async () => {
    const secrets = memorySecrets();
    for (let i = 0; i < 10; i++) await put(secrets, ["a.example", `s${i}`], { pem: newPem() });
    await assert.rejects(put(secrets, ["a.example", "s10"], { pem: newPem() }), refusedAs("conflict"));
    await put(secrets, ["b.a.example", "s"], { pem: newPem() });
  });

  test("is on one page of the list, whatever the size of pages", async () => {
    const secrets = memorySecrets();
    for (const place of [
      ["b.example", "s"],
      ["a.example", "t"],
      ["a.example", "s"],
    ] as const)
      await put(secrets, place, { pem: newPem() });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listDkimKeys(secrets, { domain: undefined, cursor, pageSize: 2 });
      seen.push(...page.keys.map(({ dns }) => dns.name));
      cursor = page.cursor ?? undefined;
    } while (cursor !== undefined);
    assert.deepEqual(seen, ["s._domainkey.a.example", "t._domainkey.a.example", "s._domainkey.b.example"]);
  });

  test("is gone when it is removed, and then it is not found", async () => {
    const secrets = memorySecrets();
    await put(secrets, ["a.example", "s"], { pem: newPem() });
    const removed = await removeDkimKey(secrets, { domain: "a.example", selector: "s" });
    assert.deepEqual(removed, { deleted: "s._domainkey.a.example" });
    const again = removeDkimKey(secrets, { domain: "a.example", selector: "s" });
    await assert.rejects(again, refusedAs("not-found"));
  });
});

describe("a sender", () => {
  /** The store, counting what is asked of it; it fails while `down`. */
  function watched() {
    const secrets = memorySecrets();
    const asked = { lists: 0, gets: 0, down: false };
    const store: Pick<SecretStore, "get" | "list"> = {
      list(kind) {
        asked.lists += 1;
        return asked.down ? Promise.reject(new Error("down")) : secrets.list(kind);
      },
      get(kind, name) {
        asked.gets += 1;
        return asked.down ? Promise.reject(new Error("down")) : secrets.get(kind, name);
      },
    };
    return { secrets, store, asked };
  }
  const selectors = (keys: readonly { selector: string }[]) => keys.map(({ selector }) => selector);

  test("signs with the keys of a domain and of those above it, and reads each once for all mail of half a minute", async () => {
    const { secrets, store, asked } = watched();
    await put(secrets, ["a.example", "up"], { pem: newPem() });
    await put(secrets, ["b.a.example", "own"], { pem: newPem() });
    await put(secrets, ["ba.example", "other"], { pem: newPem() });
    const keys = domainKeys(store, { clock });
    const all = await Promise.all(Array.from({ length: 50 }, () => keys("b.a.example")));
    for (const each of all) assert.deepEqual(selectors(each), ["own", "up"]);
    assert.deepEqual([asked.lists, asked.gets], [1, 2]);
    assert.deepEqual(selectors(await keys("c.example")), []);
    assert.equal(asked.lists, 1);
  });

  test("uses a new key, and no more a removed one, within a minute", async () => {
    const own = fakeClock();
    const { secrets, store } = watched();
    const keys = domainKeys(store, { clock: own });
    assert.deepEqual(selectors(await keys("a.example")), []);
    await put(secrets, ["a.example", "new"], { pem: newPem() });
    await own.advance(MINUTE);
    assert.deepEqual(selectors(await keys("a.example")), ["new"]);
    await removeDkimKey(secrets, { domain: "a.example", selector: "new" });
    await own.advance(MINUTE);
    assert.deepEqual(selectors(await keys("a.example")), []);
  });

  test("goes on with the keys it knows while the store is down, for an hour; then mail waits", async () => {
    const own = fakeClock();
    const { secrets, store, asked } = watched();
    await put(secrets, ["a.example", "s"], { pem: newPem() });
    const keys = domainKeys(store, { clock: own });
    await keys("a.example");
    asked.down = true;
    await own.advance(MINUTE);
    assert.deepEqual(selectors(await keys("a.example")), ["s"]);
    await own.advance(HOUR);
    await assert.rejects(keys("a.example"), /down/);
    asked.down = false;
    assert.deepEqual(selectors(await keys("a.example")), ["s"]);
  });
});
