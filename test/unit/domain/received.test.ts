import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { firstValue, parseHeaders } from "#shared/domain/headers.ts";
import { rowIdOf } from "#shared/domain/ids.ts";
import type { Message, Origin } from "#shared/domain/message.ts";
import { receivedHeader } from "#shared/domain/received.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import { address, message } from "../../support/builders.ts";

const acceptedAt = Date.UTC(2026, 10, 20, 22, 53, 58) as EpochMs;

function received(origin: Partial<Origin>, fields: Partial<Message> = {}, recipient = ""): string {
  const plain = message({ acceptedAt });
  const of = { ...plain, ...fields, origin: { ...plain.origin, ip: "192.0.2.7", ...origin } };
  const header = receivedHeader({
    message: of,
    hostname: "mx.sender.example",
    name: "ZoneFleet",
    id: rowIdOf(of.id, 1),
    recipient: recipient === "" ? null : address(recipient),
  });
  assert.equal(parseHeaders(Buffer.from(header)).length, 1);
  assert.ok(header.split("\r\n").every((line) => line.length <= 998));
  const value = firstValue(parseHeaders(Buffer.from(header)), "received") ?? "";
  return value.replace(of.id, "ID");
}

const end = "; Fri, 20 Nov 2026 22:53:58 +0000";

describe("Received", () => {
  test("tells client, host, protocol, id and time", () => {
    assert.equal(
      received({ helo: "Client.Example", host: "host.example" }),
      `from client.example (host.example [192.0.2.7]) by mx.sender.example (ZoneFleet) with ESMTP id ID.001${end}`,
    );
  });

  test("names the recipient only when there is one to name", () => {
    assert.match(received({}, {}, "ben@dest.example"), / for <ben@dest\.example>;/);
    assert.doesNotMatch(received({}), / for /);
  });

  test("tells user and TLS, the cipher by its IANA name in a tls clause", () => {
    const tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
    assert.match(
      received({ protocol: "ESMTPSA", user: "anna", tls }, {}, "b@c.example"),
      /\(Authenticated sender: anna\) by .* with ESMTPSA id ID\.001 for <b@c\.example> tls TLS_AES_256_GCM_SHA384 \(version=TLSv1\.3\);/,
    );
    assert.match(
      received({ tls: "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384" }),
      / id ID\.001 \(version=TLSv1\.2 cipher=ECDHE-RSA-AES256-GCM-SHA384\);/,
    );
  });

  test("literals are in the form of RFC 5321 section 4.1.3", () => {
    assert.match(
      received({ helo: null, ip: "2001:db8::1" }),
      /^from \[IPv6:2001:db8::1\] \(\[IPv6:2001:db8::1\]\) by /,
    );
    assert.match(received({ helo: "[192.0.2.9]" }), /^from \[192\.0\.2\.9\] \(\[192\.0\.2\.7\]\) by /);
  });

  test("mail of our own comes from nowhere by no protocol", () => {
    assert.equal(
      received({ protocol: "INTERNAL", ip: null, helo: null }),
      `by mx.sender.example (ZoneFleet) id ID.001${end}`,
    );
    assert.match(received({ protocol: "HTTP", helo: null }), /^from \[192\.0\.2\.7\] .* with HTTP id/);
  });

  for (const [protocol, utf8] of [
    ["SMTP", "SMTP"],
    ["ESMTP", "UTF8SMTP"],
    ["ESMTPS", "UTF8SMTPS"],
    ["ESMTPSA", "UTF8SMTPSA"],
    ["LMTP", "UTF8LMTP"],
    ["HTTP", "HTTP"],
  ] as const) {
    test(`${protocol} with SMTPUTF8 is ${utf8}`, () => {
      assert.match(received({ protocol }, { smtputf8: true }), new RegExp(` with ${utf8} id`));
      assert.match(received({ protocol }), new RegExp(` with ${protocol} id`));
      assert.match(
        received({ protocol }, {}, "\u{fc}@dest.example"),
        new RegExp(` with ${utf8} .* for <\u{fc}@dest\\.example>;`),
      );
    });
  }

  test("what the client calls itself cannot end a comment, a line or the header", () => {
    const evil = `x) by evil.example;\r\nX-Evil: "\\\0\u{2028}\u{e4}`;
    const value = received({ helo: evil, host: evil, user: evil, tls: `${evil} ${evil}` });
    assert.match(value, /^from \[192\.0\.2\.7\] \(\[192\.0\.2\.7\]\) \(helo=x\? by evil/);
    assert.equal(value.split(";").length, 2, "only the date stands after a semicolon");
    assert.match(value, /^[ -~]+$/);
    assert.equal(value.replace(/\([^()]*\)/g, "").match(/[()]/), null, "comments are balanced");
  });

  test("the longest names make no line over 998 octets", () => {
    const long = `${"x".repeat(60)}.`.repeat(4).slice(0, 240);
    received({
      helo: long,
      host: long,
      user: "u".repeat(2_000),
      tls: `${"t".repeat(2_000)} TLS_${"c".repeat(2_000)}`,
    });
  });
});
