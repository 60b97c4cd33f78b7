import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { CredentialPolicy } from "#shared/domain/zone.ts";

import { authenticate } from "../../../sender/delivery/authenticate.ts";
import type { Secured } from "../../../sender/delivery/smtp-client.ts";
import { answering, HANG_UP, scriptedPeer } from "../../support/scripted-peer.ts";
import type { Script } from "../../support/scripted-peer.ts";
import { connectTo, inShort, sessionTo } from "../../support/smtp-session.ts";

const auth = { user: "anna", pass: "s3cret ü" };
const PLAIN = Buffer.from("\0anna\0s3cret ü").toString("base64");
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** A relay that asks for what LOGIN asks for, and ends with `last`. */
function loginRelay(last: string, offered = "LOGIN"): Script {
  return async (talk) => {
    talk.say("220 relay");
    await talk.line();
    talk.say(`250-relay\r\n250 AUTH ${offered}`);
    for (const reply of ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", last]) {
      await talk.line();
      talk.say(reply);
    }
    await talk.end();
  };
}

describe("AUTH", () => {
  test("is PLAIN when offered, in one round trip", async () => {
    await using peer = await scriptedPeer(
      answering({ EHLO: "250-relay\r\n250 AUTH LOGIN PLAIN", AUTH: "235 2.7.0 welcome" }),
    );
    const session = await sessionTo(peer.port, { auth });
    session.quit();
    assert.equal(peer.lines[1], `AUTH PLAIN ${PLAIN}`);
  });

  test("is LOGIN when only that is offered", async () => {
    await using peer = await scriptedPeer(loginRelay("235 2.7.0 welcome"));
    const session = await sessionTo(peer.port, { auth });
    session.destroy();
    assert.deepEqual(peer.lines.slice(1), ["AUTH LOGIN", base64("anna"), base64("s3cret ü")]);
  });

  test("is what the operator wants, though more is offered", async () => {
    await using peer = await scriptedPeer(loginRelay("235 2.7.0 welcome", "LOGIN PLAIN"));
    const session = await sessionTo(peer.port, { auth, authMethod: "LOGIN" });
    session.destroy();
    assert.equal(peer.lines[1], "AUTH LOGIN");
  });

  test("is not tried when what the operator wants is not offered", async () => {
    await using peer = await scriptedPeer(loginRelay("235 2.7.0 welcome"));
    const connected = await connectTo(peer.port, { auth, authMethod: "PLAIN" });
    assert.ok(!connected.ok && connected.outcome.kind === "deferred");
    assert.match(connected.outcome.detail, /AUTH that we speak \(PLAIN; offered: LOGIN\)/);
  });

  test("is not tried without credentials", async () => {
    await using peer = await scriptedPeer(answering({ EHLO: "250-relay\r\n250 AUTH PLAIN" }));
    const session = await sessionTo(peer.port);
    session.quit();
    assert.ok(!peer.lines.some((line) => line.startsWith("AUTH")));
  });

  for (const [reply, fate, tryNextHost] of [
    ["535 5.7.8 wrong password", "deferred internal 535", false],
    ["530 5.7.0 no", "deferred internal 530", false],
    ["454 4.7.0 try later", "deferred reply 454", true],
    ["421 4.3.2 bye", "deferred reply 421", true],
  ] as const) {
    test(`"${reply}" never bounces mail`, async () => {
      await using peer = await scriptedPeer(answering({ EHLO: "250-relay\r\n250 AUTH PLAIN", AUTH: reply }));
      const connected = await connectTo(peer.port, { auth });
      assert.ok(!connected.ok);
      assert.deepEqual(inShort([connected.outcome]), [fate]);
      assert.equal(connected.tryNextHost, tryNextHost);
    });
  }

  test("a refused LOGIN never bounces mail, and says which relay refused", async () => {
    await using peer = await scriptedPeer(loginRelay("535 5.7.8 wrong"));
    const connected = await connectTo(peer.port, { auth });
    assert.ok(!connected.ok && connected.outcome.kind === "deferred");
    assert.equal(connected.outcome.cause, "internal");
    assert.match(connected.outcome.detail, /mx\.one\.example .*refused our credentials: 535 5\.7\.8 wrong/);
  });

  test("a relay without AUTH, or with none that we speak, defers and says what it offers", async () => {
    await using peer = await scriptedPeer(answering(), answering({ EHLO: "250-relay\r\n250 AUTH GSSAPI" }));
    const none = await connectTo(peer.port, { auth });
    assert.ok(!none.ok && none.outcome.kind === "deferred");
    assert.match(none.outcome.detail, /offered: none/);
    const other = await connectTo(peer.port, { auth });
    assert.ok(!other.ok && other.outcome.kind === "deferred");
    assert.match(other.outcome.detail, /offered: GSSAPI/);
  });

  test("a relay that hangs up defers", async () => {
    await using peer = await scriptedPeer(answering({ EHLO: "250-relay\r\n250 AUTH PLAIN", AUTH: HANG_UP }));
    const connected = await connectTo(peer.port, { auth });
    assert.ok(!connected.ok);
    assert.deepEqual(inShort([connected.outcome]), ["deferred protocol"]);
  });
});

describe("where credentials may go", () => {
  const verified: Secured = {
    protocol: "TLSv1.3",
    cipher: "x",
    verified: true,
    problem: null,
    resumed: false,
  };
  const unverified: Secured = { ...verified, verified: false, problem: "CERT_HAS_EXPIRED" };
  const remote = ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"];
  const local = ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"];

  async function isSent(ip: string, policy: CredentialPolicy, secured: Secured | null): Promise<boolean> {
    await using peer = await scriptedPeer(
      answering({ EHLO: "250-relay\r\n250 AUTH PLAIN", AUTH: "235 2.7.0 welcome" }),
    );
    const session = await sessionTo(peer.port);
    session.secured = secured;
    const failure = await authenticate(session, auth, { ip, policy, method: null });
    session.quit();
    await peer.talks[0]?.end();
    assert.equal(failure === null, peer.lines.includes(`AUTH PLAIN ${PLAIN}`));
    if (failure) assert.ok(failure.kind === "credentials" && failure.reply === null);
    return failure === null;
  }

  for (const [policy, secured, name, sent] of [
    ["verified", verified, "verified TLS", true],
    ["verified", unverified, "TLS with an expired certificate", false],
    ["verified", null, "clear text", false],
    ["encrypted", unverified, "TLS with an expired certificate", true],
    ["encrypted", null, "clear text", false],
    ["anywhere", null, "clear text", true],
  ] as const) {
    test(`"${policy}" ${sent ? "sends" : "does not send"} them over ${name}`, async () => {
      for (const ip of remote) assert.equal(await isSent(ip, policy, secured), sent, ip);
    });
  }

  test("to a loopback address they are sent however it is", async () => {
    for (const ip of local) assert.equal(await isSent(ip, "verified", null), true, ip);
  });
});
