/** What `Secured.verified` rests on. In a file, and so a process, of its own: trust is set before the first handshake. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setDefaultCACertificates } from "node:tls";

import { answering, scriptedPeer, TEST_CERT } from "../support/scripted-peer.ts";
import { sessionTo } from "../support/smtp-session.ts";

setDefaultCACertificates([TEST_CERT]);

const auth = { user: "anna", pass: "secret" };
const relay = answering({
  EHLO: (_line, nth) => (nth === 0 ? "250-relay\r\n250 STARTTLS" : "250-relay\r\n250 AUTH PLAIN"),
  AUTH: "235 2.7.0 welcome",
});

for (const [host, verified] of [
  ["mx.one.example", true],
  ["127.0.0.1", true],
  ["relay.other.example", false],
  ["127.0.0.2", false],
] as const) {
  test(`a trusted certificate ${verified ? "is" : "is not"} good for ${host}`, async () => {
    await using peer = await scriptedPeer(relay);
    const session = await sessionTo(peer.port, { auth, host });
    assert.equal(session.secured?.verified, verified);
    assert.equal(session.secured.problem, verified ? null : "ERR_TLS_CERT_ALTNAME_INVALID");
    session.quit();
  });
}
