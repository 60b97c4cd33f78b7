import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Submit } from "#shared/app/submission.ts";
import { SECOND } from "#shared/domain/units.ts";
import { PROXY_HEADER_TIMEOUT_MS } from "../../../sender/feeder/proxied-socket.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { collectingLog, collectingSubmit, submittedOf, testFeeder } from "../../support/feeder-harness.ts";
import { proxyV2 } from "../../support/proxy-header.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";
import { TEST_CERT, TEST_KEY } from "../../support/test-certificate.ts";

const V1 = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n";
const V2 = proxyV2({ ip: "2001:db8::7", port: 1 });
const proxyFrom = ["127.0.0.0/8"];

describe("a connection from a load balancer", () => {
  for (const [version, header, ip] of [
    ["1", Buffer.from(V1), "192.0.2.7"],
    ["2", V2, "2001:db8::7"],
    ["2 with the command LOCAL", proxyV2({ ip: "192.0.2.9", port: 1, command: 0 }), "127.0.0.1"],
  ] as const) {
    test(`is the client's that a header of version ${version} names, with commands right behind it or later`, async () => {
      const { submit, collected } = collectingSubmit();
      await using feeder = await testFeeder({ submit, settings: { proxyFrom } });
      for (const first of [header, Buffer.concat([header, Buffer.from("NOOP\r\n")])]) {
        using talker = SmtpTalker.connect(feeder.port);
        talker.write(first);
        assert.equal((await talker.reply()).code, 220);
        if (first !== header) assert.equal((await talker.reply()).code, 250);
        assert.equal((await talker.say("EHLO client.example")).code, 250);
        assert.equal((await talker.mail()).code, 250);
      }
      assert.deepEqual(
        collected.map(({ origin }) => origin.ip),
        [ip, ip],
      );
    });
  }

  test("may bring its header byte by byte", async () => {
    await using feeder = await testFeeder({ settings: { proxyFrom } });
    for (const header of [Buffer.from(V1), V2]) {
      using talker = SmtpTalker.connect(feeder.port);
      for (const byte of header) await talker.writeAll(Buffer.from([byte]));
      assert.equal((await talker.reply()).code, 220);
    }
  });

  test("has its header before the TLS handshake", async () => {
    const { submit, collected } = collectingSubmit();
    const tls = { key: TEST_KEY, cert: TEST_CERT, ca: null };
    await using feeder = await testFeeder({ submit, settings: { proxyFrom, secure: true, tls } });
    for (const header of [V1, V2]) {
      using talker = SmtpTalker.connectTls(feeder.port, header);
      assert.equal((await talker.reply()).code, 220);
      assert.equal((await talker.say("EHLO client.example")).code, 250);
      assert.equal((await talker.mail()).code, 250);
    }
    assert.deepEqual(
      collected.map(({ origin }) => [origin.ip, origin.protocol]),
      [
        ["192.0.2.7", "ESMTPS"],
        ["2001:db8::7", "ESMTPS"],
      ],
    );
  });

  test("is closed without a word when it brings anything else, and the log says so", async () => {
    const { log, lines } = collectingLog();
    await using feeder = await testFeeder({ settings: { proxyFrom }, log });
    for (const bytes of [
      "EHLO client.example\r\n",
      "PROXY TCP4 x y 1 2\r\n",
      V2.subarray(0, 11),
      "PROXY TCP4 ",
    ]) {
      using talker = SmtpTalker.connect(feeder.port);
      talker.write(bytes);
      talker.end();
      assert.equal(await talker.closed(), "");
    }
    assert.deepEqual(
      lines.map(({ level, msg }) => [level, msg]),
      Array.from({ length: 4 }, () => ["warn", "no PROXY header from a balancer"]),
    );
  });

  test("is closed when the header does not come in time", async () => {
    const clock = fakeClock();
    const { log, lines } = collectingLog();
    await using feeder = await testFeeder({ settings: { proxyFrom }, clock, log });
    using talker = SmtpTalker.connect(feeder.port);
    talker.write("PROXY TCP4 192.0.2.7 ");
    while (clock.sleepers === 0) await new Promise(setImmediate);
    await clock.advance(PROXY_HEADER_TIMEOUT_MS);
    assert.equal(await talker.closed(), "");
    assert.equal(lines[0]?.fields["reason"], "the header did not come in time");
  });
});

describe("a connection from anyone else", () => {
  test("is greeted at once, and PROXY is a command we do not know", async () => {
    const { submit, collected } = collectingSubmit();
    await using feeder = await testFeeder({ submit, settings: { proxyFrom: ["192.0.2.1"] } });
    using talker = await SmtpTalker.greeted(feeder.port);
    assert.match((await talker.say(V1.trimEnd())).text, /^500 5\.5\.2 /);
    await talker.say("EHLO client.example");
    await talker.mail();
    assert.equal(collected[0]?.origin.ip, "127.0.0.1");
  });

  test("is refused with 421 when there are too many, until one goes", async () => {
    await using feeder = await testFeeder({ settings: { maxClients: 2 } });
    using first = await SmtpTalker.greeted(feeder.port);
    using second = await SmtpTalker.greeted(feeder.port);
    using third = SmtpTalker.connect(feeder.port);
    assert.match((await third.reply()).text, /^421 4\.3\.2 /);
    await third.closed();
    assert.equal((await second.say("NOOP")).code, 250);
    assert.equal((await first.say("QUIT")).code, 221);
    await first.closed();
    using fourth = await SmtpTalker.greeted(feeder.port);
    assert.equal((await fourth.say("NOOP")).code, 250);
  });

  test("is refused with 421 when its address has too many, behind a balancer too, and others are not", async () => {
    const settings = { proxyFrom: ["127.0.0.1"], maxClientsPerAddress: 2 };
    await using feeder = await testFeeder({ settings });
    const from = (ip: string): SmtpTalker => {
      const talker = SmtpTalker.connect(feeder.port);
      talker.write(`PROXY TCP4 ${ip} 192.0.2.1 4711 25\r\n`);
      return talker;
    };
    using first = from("192.0.2.7");
    using second = from("192.0.2.7");
    for (const talker of [first, second]) assert.equal((await talker.reply()).code, 220);
    using third = from("192.0.2.7");
    assert.match((await third.reply()).text, /^421 4\.7\.0 .* not more than 2 at once/);
    await third.closed();
    using other = from("192.0.2.8");
    assert.equal((await other.reply()).code, 220);
    assert.equal((await first.say("QUIT")).code, 221);
    await first.closed();
    using fourth = from("192.0.2.7");
    assert.equal((await fourth.reply()).code, 220);
  });
});

describe("a listener", () => {
  test("that cannot have its port says whose and which", async () => {
    await using taken = await testFeeder();
    await assert.rejects(
      testFeeder({ settings: { name: "second", port: taken.port } }),
      new RegExp(`SMTP interface second cannot listen on 127\\.0\\.0\\.1:${taken.port}: .*EADDRINUSE`),
    );
  });

  test("may share its port with others that say so", async () => {
    await using first = await testFeeder({ reusePort: true });
    await using second = await testFeeder({ reusePort: true, settings: { port: first.port } });
    assert.equal(second.port, first.port);
    await first.close();
    using talker = await SmtpTalker.ready(second.port);
    assert.equal((await talker.mail()).code, 250);
  });

  test("counts its sessions and messages", async () => {
    const counts = { opened: 0, closed: 0, bytes: 0, recipients: 0, refused: [] as number[] };
    const { submit } = collectingSubmit({
      verdict: ({ text }) => (text === "bad\r\n" ? Promise.reject(new Error("no")) : Promise.resolve()),
    });
    const feeder = await testFeeder({
      submit,
      metrics: {
        sessionOpened: () => (counts.opened += 1),
        sessionClosed: () => (counts.closed += 1),
        accepted: ({ bytes, recipients }) => {
          counts.bytes += bytes;
          counts.recipients += recipients;
        },
        refused: (code) => counts.refused.push(code),
      },
    });
    using talker = await SmtpTalker.ready(feeder.port);
    await talker.mail("good\r\n");
    await talker.mail("bad\r\n");
    await talker.say("QUIT");
    await talker.closed();
    talker.end();
    await feeder.drain(SECOND);
    assert.deepEqual(counts, { opened: 1, closed: 1, bytes: 6, recipients: 1, refused: [451] });
  });
});

describe("a drain", () => {
  /** A submit that waits for `go` once it has the message. */
  function waitingSubmit(): { submit: Submit; has: Promise<void>; go: () => void } {
    const [has, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    return {
      has: has.promise,
      go: go.resolve,
      async submit(submission) {
        for await (const chunk of submission.source) void chunk;
        has.resolve();
        await go.promise;
        return submittedOf(submission);
      },
    };
  }

  test("tells idle sessions to go and takes no new ones", async () => {
    const feeder = await testFeeder();
    using idle = await SmtpTalker.ready(feeder.port);
    using begun = await SmtpTalker.ready(feeder.port);
    assert.equal((await begun.say("MAIL FROM:<a@one.example>")).code, 250);
    const drained = feeder.drain(30 * SECOND);
    assert.match((await idle.reply()).text, /^421 4\.3\.2 /);
    assert.match((await begun.reply()).text, /^421 4\.3\.2 /);
    for (const talker of [idle, begun]) {
      await talker.closed();
      talker.end();
    }
    await drained;
    using late = SmtpTalker.connect(feeder.port);
    assert.equal(await late.closed(), "");
  });

  test("lets a message finish that is under way, and answers it", async () => {
    const { submit, has, go } = waitingSubmit();
    const feeder = await testFeeder({ submit });
    using receiving = await SmtpTalker.ready(feeder.port);
    await receiving.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA");
    receiving.write("first half, ");
    let isDrained = false;
    const drained = feeder.drain(30 * SECOND).then(() => {
      isDrained = true;
    });
    receiving.write("second half\r\n.\r\n");
    await has;
    assert.equal(isDrained, false);
    go();
    assert.match((await receiving.reply()).text, /^250 2\.0\.0 Message queued/);
    assert.match((await receiving.reply()).text, /^421 4\.3\.2 /);
    await receiving.closed();
    receiving.end();
    await drained;
  });

  test("cuts off what is not done when its time is over", async () => {
    const clock = fakeClock();
    const { submit, has } = waitingSubmit();
    const feeder = await testFeeder({ submit, clock });
    using stuck = await SmtpTalker.ready(feeder.port);
    await stuck.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA");
    stuck.write("all of it\r\n.\r\n");
    await has;
    const drained = feeder.drain(10 * SECOND);
    await clock.advance(10 * SECOND);
    await drained;
    assert.equal(await stuck.closed(), "", "no answer: the client still has the message");
  });

  test("does not wait for who has not come to a session yet", async () => {
    const feeder = await testFeeder({ settings: { proxyFrom } });
    using pending = SmtpTalker.connect(feeder.port);
    await pending.writeAll("PROXY ");
    await new Promise(setImmediate);
    await feeder.drain(30 * SECOND);
    assert.equal(await pending.closed(), "");
  });
});
