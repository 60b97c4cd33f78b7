import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { clientName } from "../../../sender/feeder/client-name.ts";
import { fakeDns } from "../../support/fake-dns.ts";
import { collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";

describe("the name of a client", () => {
  test("is the first of its address that leads back to it", async () => {
    const dns = fakeDns({
      "192.0.2.7": { ptr: ["bank.example", "laptop.example"] },
      "bank.example": { a: ["192.0.2.1"] },
      "laptop.example": { a: ["192.0.2.6", "192.0.2.7"] },
      "2001:db8::7": { ptr: ["six.example"] },
      "six.example": { aaaa: ["2001:DB8:0:0::7"] },
    });
    assert.equal(await clientName("192.0.2.7", dns), "laptop.example");
    assert.equal(await clientName("::ffff:192.0.2.7", dns), "laptop.example");
    assert.equal(await clientName("2001:db8::7", dns), "six.example");
  });

  test("is not known when nothing leads back, or the DNS does not answer", async () => {
    const dns = fakeDns({
      "192.0.2.7": { ptr: ["bank.example"] },
      "bank.example": { a: ["192.0.2.1"] },
      "192.0.2.8": { ptr: "failed" },
      "192.0.2.9": { ptr: ["gone.example"] },
    });
    for (const peer of ["192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.10", "no address"])
      assert.equal(await clientName(peer, dns), null, peer);
  });

  test("is looked for among a few, however many there are", async () => {
    const ptr = Array.from({ length: 100 }, (_, i) => `name${i}.example`);
    const dns = fakeDns({ "192.0.2.7": { ptr } });
    assert.equal(await clientName("192.0.2.7", dns), null);
    assert.ok(dns.asked.length <= 6, `${dns.asked.length} questions`);
  });

  test("is told with the mail where an interface looks it up, and asked of nobody where it does not", async () => {
    for (const reverseLookup of [true, false]) {
      const { submit, collected } = collectingSubmit();
      const dns = fakeDns({ "127.0.0.1": { ptr: ["here.example"] }, "here.example": { a: ["127.0.0.1"] } });
      await using feeder = await testFeeder({ submit, dns, settings: { reverseLookup } });
      using talker = await SmtpTalker.ready(feeder.port);
      assert.equal((await talker.mail()).code, 250);
      assert.equal(collected[0]?.origin.host, reverseLookup ? "here.example" : null);
      assert.equal(dns.asked.length, reverseLookup ? 2 : 0);
    }
  });

  test("is given up when the DNS fails, and the client is greeted", async () => {
    const { submit, collected } = collectingSubmit();
    const dns = fakeDns();
    dns.gate = () => Promise.reject(new Error("no network"));
    await using feeder = await testFeeder({ submit, dns, settings: { reverseLookup: true } });
    using talker = await SmtpTalker.ready(feeder.port);
    assert.equal((await talker.mail()).code, 250);
    assert.equal(collected[0]?.origin.host, null);
  });
});
