import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { keepKeys, keyReader } from "#shared/app/message-keys.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";

const privateKey = generateKeyPairSync("ed25519")
  .privateKey.export({ type: "pkcs8", format: "pem" })
  .toString();
const source = { domain: "a.example", selector: "s", privateKey };

describe("a DKIM key that comes with a mail", () => {
  test("is kept once for all mail that brings it, under a name of its own", async () => {
    const secrets = memorySecrets();
    let puts = 0;
    const keep = keepKeys({
      put(...secret) {
        puts += 1;
        return secrets.put(...secret);
      },
    });
    const [first] = await keep([source]);
    const names = await keep([{ ...source }, { ...source, selector: "t" }]);
    assert.equal(names[0], first);
    assert.notEqual(names[1], first);
    assert.equal(puts, 2);
    assert.deepEqual(await secrets.list("dkim"), names.toSorted());
  });

  test("is read as what it was, by a process that did not keep it", async () => {
    const secrets = memorySecrets();
    const [name = ""] = await keepKeys(secrets)([source]);
    const { domain, selector, algorithm } = await keyReader(secrets)(name);
    assert.deepEqual([domain, selector, algorithm], ["a.example", "s", "ed25519-sha256"]);
  });

  test("keeps what it says of its signatures, and is another key than one that says nothing", async () => {
    const secrets = memorySecrets();
    const terms = { headerFields: ["From", "Subject"], expireInSeconds: null };
    const [plain, said = ""] = await keepKeys(secrets)([source, { ...source, terms }]);
    assert.notEqual(plain, said);
    assert.deepEqual((await keyReader(secrets)(said)).terms, terms);
    assert.deepEqual((await keyReader(secrets)(plain ?? "")).terms, {});
  });

  test("is not kept when the store fails, and the next mail tries again", async () => {
    const secrets = memorySecrets();
    let fails = true;
    const keep = keepKeys({
      put: (...secret) =>
        fails ? Promise.reject(new DomainError("forbidden", "no key to seal with")) : secrets.put(...secret),
    });
    await assert.rejects(keep([source]), (error) => !(error instanceof DomainError), "a fault of ours");
    fails = false;
    const [name = ""] = await keep([source]);
    assert.ok(await secrets.get("dkim", name));
  });

  test("that is gone is told, so that the mail waits and does not go unsigned", async () => {
    await assert.rejects(keyReader(memorySecrets())("mail-0"), /is gone/);
  });
});
