import assert from "node:assert/strict";
import { describe, test } from "node:test";

import addressparser from "nodemailer/lib/addressparser";

import { addressesOf, firstValue } from "#shared/domain/headers.ts";
import { DAY, HOUR } from "#shared/domain/units.ts";
import { compose, headerOf, headersOf, now, refused, simple, textOf } from "../../support/compose-fields.ts";

describe("the envelope of message fields", () => {
  test("is the From and all of To, Cc and Bcc, groups opened", () => {
    const { envelope } = compose({
      ...simple,
      from: "Anna <anna@example.com>",
      to: ["Ben <ben@example.net>, carl@example.net", { name: "Dora", address: "dora@EXAMPLE.net" }],
      cc: "Team: eve@example.net, fred@example.net;",
      bcc: [["gus@example.net"]],
    });
    assert.deepEqual(envelope.from, { address: "anna@example.com" });
    assert.deepEqual(
      envelope.to?.map((address) => address.split("@")[0]),
      ["ben", "carl", "dora", "eve", "fred", "gus"],
    );
  });

  test("shows a group as the group it is, whatever is in its names", async () => {
    const odd = { name: 'A, "b" \\ c', address: "eve@example.net" };
    const headers = await headersOf({
      ...simple,
      to: [
        "Ben <ben@example.net>",
        { name: "Tõnu; friends:", group: [odd, "fred@example.net", "Jõ <jo@example.net>"] },
      ],
      cc: "undisclosed-recipients:;",
      replyTo: "Desk: gus@example.net;",
      from: { name: "", group: ["anna@example.com"] },
    });
    assert.deepEqual(addressesOf(headers, ["to"]), [
      "ben@example.net",
      "eve@example.net",
      "fred@example.net",
      "jo@example.net",
    ]);
    const [ben, group] = addressparser(firstValue(headers, "to") ?? "");
    assert.deepEqual(ben, { name: "Ben", address: "ben@example.net" });
    assert.equal(group?.name, "=?UTF-8?Q?T=C3=B5nu=3B_friends=3A?=");
    assert.deepEqual(group?.group?.[0], odd);
    assert.match(firstValue(headers, "cc") ?? "", /^"?undisclosed-recipients"?:;$/);
    assert.equal(firstValue(headers, "from"), "anna@example.com");
    assert.match(firstValue(headers, "reply-to") ?? "", /^Desk: ?gus@example\.net;$/);
  });

  test("is what `envelope` says, whatever the headers say", () => {
    const { envelope } = compose({
      ...simple,
      envelope: { from: "b@x.example", to: ["c@x.example"], bcc: "d@x.example" },
    });
    assert.deepEqual(envelope, { from: { address: "b@x.example" }, to: ["c@x.example", "d@x.example"] });
  });

  for (const from of ["", "<>", null, false]) {
    test(`has a null return path for envelope.from ${JSON.stringify(from)}`, () => {
      assert.deepEqual(compose({ ...simple, envelope: { from, to: "c@x.example" } }).envelope.from, {
        address: null,
      });
    });
  }

  test("takes address headers given among `headers`, and lets a field of that name win", async () => {
    const fields = { ...simple, headers: { Bcc: "hidden@x.example", To: "other@x.example", "X-Kept": "1" } };
    const composed = compose(fields);
    assert.deepEqual(composed.envelope.to, ["ben@example.net", "hidden@x.example"]);
    const text = await textOf(composed);
    assert.doesNotMatch(text, /hidden|other/);
    assert.match(text, /^X-Kept: 1$/m);
  });

  test("never shows Bcc in the message", async () => {
    assert.doesNotMatch(await textOf(compose({ ...simple, bcc: "secret@x.example" })), /bcc|secret/i);
  });

  test("of a raw message without address fields is left to its headers", () => {
    assert.deepEqual(compose({ raw: "From: a@b.example\r\n\r\n" }).envelope, { from: null, to: null });
  });

  test("refuses what is no address, with its path", () => {
    refused({ ...simple, to: ["ben@example.net", "nobody"] }, "invalid-address", "to[1]");
    refused({ ...simple, to: "ben@example.net, @, x" }, "invalid-address", "to");
    refused({ ...simple, cc: { address: "a b@c.example" } }, "invalid-address", "cc");
    refused({ ...simple, envelope: { to: ["x@-.example"] } }, "invalid-address", "envelope.to[0]");
    refused({ ...simple, from: "" }, "invalid-request", "from");
  });
});

describe("the message composed of fields", () => {
  test("ends every line with CRLF", async () => {
    const text = await textOf(compose({ ...simple, text: "one\ntwo\r\nthree", html: "<p>\n</p>" }));
    assert.doesNotMatch(text, /[^\r]\n/);
  });

  test("has the priority, X-Mailer and List headers that the composer leaves out", async () => {
    const headers = await headersOf({
      ...simple,
      priority: "high",
      xMailer: "ours 1.0",
      list: {
        unsubscribe: [["https://x.example/u", "u@x.example"]],
        "unsubscribe-post": "List-Unsubscribe=One-Click",
      },
    });
    assert.equal(firstValue(headers, "importance"), "High");
    assert.equal(firstValue(headers, "x-mailer"), "ours 1.0");
    assert.equal(firstValue(headers, "list-unsubscribe"), "<https://x.example/u>, <mailto:u@x.example>");
    assert.equal(firstValue(headers, "list-unsubscribe-post"), "List-Unsubscribe=One-Click");
  });

  test("decodes attachments by their encoding, and a data: URI is content", async () => {
    const text = await textOf(
      compose({
        ...simple,
        attachments: [
          { filename: "a.bin", content: "aGVsbG8=", encoding: "base64" },
          { filename: "b.bin", content: "68656c6c6f", encoding: "hex" },
          { filename: "c.bin", path: "data:application/x-c;base64,aGVsbG8=" },
          { filename: "d.bin", content: { type: "Buffer", data: [104, 101, 108, 108, 111] } },
        ],
      }),
    );
    assert.equal(text.match(/^aGVsbG8=\r$/gm)?.length, 4);
    assert.match(text, /^Content-Type: application\/x-c;/m);
  });

  test("refuses attachments that would lose bytes", () => {
    const attach = (part: object) => ({ ...simple, attachments: [part] });
    refused(attach({ content: "aGVs$bG8=", encoding: "base64" }), "invalid-body", "attachments[0].content");
    refused(attach({ content: "abc", encoding: "hex" }), "invalid-body", "attachments[0].content");
    refused(attach({ content: "abc", encoding: "utf-99" }), "invalid-request", "attachments[0].content");
    refused(attach({ filename: "empty.txt" }), "invalid-request", "attachments[0]");
  });

  test("turns data: images of the html into attachments when asked to", async () => {
    const html = '<p><img alt="x" src="data:image/png;base64,iVBORw0KGgo="></p>';
    const text = await textOf(compose({ ...simple, html, attachDataUrls: true }));
    assert.match(text, /src=3D"cid:image-1@attached.invalid"|src="cid:image-1@attached.invalid"/);
    assert.match(text, /^Content-ID: <image-1@attached.invalid>\r$/im);
    assert.match(text, /filename=image-1\.png/);
  });

  test("is `raw` as it is", async () => {
    const raw = "From: a@b.example\r\nSubject: x\r\n\r\nbody\r\n";
    assert.equal(await textOf(compose({ ...simple, raw })), raw);
    assert.equal(
      await textOf(compose({ raw: { content: Buffer.from(raw).toString("base64"), encoding: "base64" } })),
      raw,
    );
  });

  test("has the date that was given, in the form of mail headers", async () => {
    assert.equal(
      await headerOf({ ...simple, date: "2026-01-02T03:04:05Z" }, "date"),
      "Fri, 02 Jan 2026 03:04:05 +0000",
    );
    refused({ ...simple, date: "tomorrow" }, "invalid-request", "date");
  });

  test("may be sent by somebody who is not its author, or have a sender alone", async () => {
    assert.equal(await headerOf({ ...simple, sender: "sec@example.com" }, "sender"), "sec@example.com");
    assert.deepEqual(compose({ ...simple, from: null, sender: "sec@example.com" }).envelope.from, {
      address: "sec@example.com",
    });
  });

  test("with a calendar event has it as alternative and attachment", async () => {
    const icalEvent = { method: "REQUEST", content: "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n" };
    const text = await textOf(compose({ ...simple, icalEvent }));
    assert.match(text, /^Content-Type: text\/calendar; charset=utf-8; method=REQUEST/m);
    assert.match(text, /^Content-Type: application\/ics; name=invite\.ics/m);
  });
});

describe("the time of message fields", () => {
  test("is at once unless deferDelivery lies ahead", () => {
    assert.equal(compose(simple).notBefore, null);
    assert.equal(compose({ ...simple, deferDelivery: now - 1 }).notBefore, null);
    assert.equal(compose({ ...simple, deferDelivery: now + HOUR }).notBefore, now + HOUR);
    assert.equal(compose({ ...simple, deferDelivery: "2026-11-20T13:00:00Z" }).notBefore, now + HOUR);
  });

  test("may be digits of a form, and is at once when it is 0 or false, as clients of ZoneMTA say it", () => {
    assert.equal(compose({ ...simple, deferDelivery: String(now + HOUR) }).notBefore, now + HOUR);
    for (const deferDelivery of [0, "0", false, ""] as const)
      assert.equal(compose({ ...simple, deferDelivery }).notBefore, null, String(deferDelivery));
  });

  test("is refused when it is a delay, is no time, or lies too far ahead", () => {
    refused({ ...simple, deferDelivery: "60000" }, "invalid-request", "deferDelivery");
    refused({ ...simple, deferDelivery: 60_000 }, "invalid-request", "deferDelivery");
    refused({ ...simple, deferDelivery: "soon" }, "invalid-request", "deferDelivery");
    refused({ ...simple, deferDelivery: now + 8 * DAY }, "invalid-request", "deferDelivery");
  });
});

describe("lines of a composed message", () => {
  const long = "x".repeat(3_000);

  for (const [name, fields] of Object.entries({
    text: { text: long },
    html: { html: `<p>${long}</p>`, encoding: "8bit" },
    attachment: { attachments: [{ filename: "a.txt", content: long, contentTransferEncoding: "7bit" }] },
    "calendar event": { icalEvent: long },
  })) {
    test(`are never over 998 octets, whatever is in the ${name}`, async () => {
      const text = await textOf(compose({ ...simple, ...fields }));
      assert.ok(text.split("\r\n").every((line) => line.length <= 998));
    });
  }

  for (const [name, fields] of Object.entries({
    subject: { subject: long },
    header: { headers: { "X-Long": { prepared: true, value: long } } },
    filename: { attachments: [{ filename: long, content: "hi" }] },
    "attached message": { attachments: [{ contentType: "message/rfc822", content: `A: b\r\n\r\n${long}` }] },
  })) {
    test(`that would be over 998 octets are refused: ${name}`, async () => {
      await assert.rejects(textOf(compose({ ...simple, ...fields })), {
        name: "DomainError",
        code: "invalid-body",
        message: /more than 998 bytes/,
      });
    });
  }
});
