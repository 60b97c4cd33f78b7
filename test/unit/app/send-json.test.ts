import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import type { Composed } from "#shared/app/send-json.ts";
import { composeFields } from "#shared/app/send-json.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { HeaderList } from "#shared/domain/headers.ts";
import { firstValue, parseHeaders } from "#shared/domain/headers.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { DAY, HOUR } from "#shared/domain/units.ts";

const now = Date.UTC(2026, 10, 20, 12) as EpochMs;
const limits = { now, maxDelayMs: 7 * DAY };
const simple = { from: "anna@example.com", to: "ben@example.net", subject: "hello", text: "hi" };

const compose = (fields: object): Composed => composeFields(fields, limits);

async function textOf({ source }: Composed): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

async function headersOf(fields: object): Promise<HeaderList> {
  return parseHeaders(Buffer.from(await textOf(compose(fields))));
}

async function headerOf(fields: object, name: string): Promise<string | null> {
  return firstValue(await headersOf(fields), name);
}

function refused(fields: unknown, code: string, path: string | null): void {
  assert.throws(
    () => composeFields(fields, limits),
    (error) => {
      assert.ok(error instanceof DomainError, String(error));
      assert.deepEqual({ code: error.code, path: error.path }, { code, path }, error.message);
      return true;
    },
  );
}

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

  test("is refused when it is a delay, is no time, or lies too far ahead", () => {
    refused({ ...simple, deferDelivery: 60_000 }, "invalid-request", "deferDelivery");
    refused({ ...simple, deferDelivery: "soon" }, "invalid-request", "deferDelivery");
    refused({ ...simple, deferDelivery: now + 8 * DAY }, "invalid-request", "deferDelivery");
  });
});

describe("fields that are refused", () => {
  test("an unknown one is named, with the known one that is near", () => {
    refused({ ...simple, subjct: "x" }, "invalid-request", "subjct");
    assert.throws(() => compose({ ...simple, subjct: "x" }), /did you mean subject\?/);
    refused({ ...simple, attachments: [{ contents: "x" }] }, "invalid-request", "attachments[0].contents");
  });

  test("a file or a URL is never read, wherever it is named", () => {
    const file = { path: "/etc/passwd" };
    const url = { href: "http://127.0.0.1:1/" };
    for (const name of ["text", "html", "watchHtml", "amp", "icalEvent", "raw"]) {
      refused({ ...simple, [name]: file }, "file-access", `${name}.path`);
      refused({ ...simple, [name]: url }, "file-access", `${name}.href`);
    }
    for (const name of ["attachments", "alternatives"]) {
      refused(
        { ...simple, [name]: [{ filename: "x", content: "x" }, file] },
        "file-access",
        `${name}[1].path`,
      );
      refused({ ...simple, [name]: [url] }, "file-access", `${name}[0].href`);
      refused({ ...simple, [name]: [{ path: { toString: "x" } }] }, "file-access", `${name}[0].path`);
      refused({ ...simple, [name]: [{ path: "DATA:text/plain,x" }] }, "file-access", `${name}[0].path`);
    }
    refused({ ...simple, attachments: [{ content: file }] }, "file-access", "attachments[0].content");
    refused({ ...simple, raw: { content: url } }, "file-access", "raw.content");
    refused(
      { ...simple, text: file, disableFileAccess: false, disableUrlAccess: false },
      "file-access",
      "text.path",
    );
  });

  test("header names, media types and the like that are none", () => {
    refused({ ...simple, headers: { "X Y": "1" } }, "invalid-header", 'headers["X Y"]');
    refused({ ...simple, headers: { "X:Y": "1" } }, "invalid-header", 'headers["X:Y"]');
    refused({ ...simple, headers: { "Content-Type": "text/html" } }, "invalid-header", "headers");
    const attach = (part: object) => ({ ...simple, attachments: [{ content: "x", ...part }] });
    refused(attach({ contentType: "nonsense" }), "invalid-header", "attachments[0].contentType");
    refused(attach({ contentDisposition: "a; b" }), "invalid-header", "attachments[0].contentDisposition");
    refused(
      attach({ contentTransferEncoding: "rot13" }),
      "invalid-header",
      "attachments[0].contentTransferEncoding",
    );
    refused(attach({ cid: "a b" }), "invalid-header", "attachments[0].cid");
    refused({ ...simple, messageId: "no id" }, "invalid-header", "messageId");
    refused(
      { ...simple, list: { unsubscribe: "https://x.example/ü" } },
      "invalid-header",
      "list.unsubscribe",
    );
    refused({ ...simple, list: { "unsubscribe-post": "yes" } }, "invalid-header", "list.unsubscribe-post");
    refused({ ...simple, otp: { code: "1", origin: "ftp://x" } }, "invalid-request", "otp");
    refused({ ...simple, boundaryPrefix: '"x' }, "invalid-header", "boundaryPrefix");
  });

  test("anything that is not an object of fields", () => {
    for (const value of [null, 5, "x", []]) refused(value, "invalid-request", null);
  });
});

/** Places in a header or the envelope where a caller's text ends up, each with the path that must be named. */
const PLACES: [path: string, fields: (text: string) => object][] = [
  ["subject", (text) => ({ subject: text })],
  ["from", (text) => ({ from: text })],
  ["to[0].name", (text) => ({ to: [{ name: text, address: "a@b.example" }] })],
  ["to[0].address", (text) => ({ to: [{ address: text }] })],
  ["to", (text) => ({ to: `"${text}" <a@b.example>` })],
  ["cc.name", (text) => ({ cc: { name: text, group: ["a@b.example"] } })],
  ["replyTo", (text) => ({ replyTo: `${text} <a@b.example>` })],
  ["messageId", (text) => ({ messageId: `<a${text}@b>` })],
  ["inReplyTo", (text) => ({ inReplyTo: `<a${text}@b>` })],
  ["references[0]", (text) => ({ references: [`<a${text}@b>`] })],
  ["date", (text) => ({ date: text })],
  ["xMailer", (text) => ({ xMailer: text })],
  ["headers.X-A", (text) => ({ headers: { "X-A": text } })],
  ["headers.X-A[1]", (text) => ({ headers: { "X-A": ["1", text] } })],
  ["headers.X-A.value", (text) => ({ headers: { "X-A": { prepared: true, value: text } } })],
  ["headers[0].value", (text) => ({ headers: [{ key: "X-A", value: text }] })],
  ["headers[0].key", (text) => ({ headers: [{ key: `X-${text}`, value: "1" }] })],
  ["list.help", (text) => ({ list: { help: `https://x.example/${text}` } })],
  ["list.id.comment", (text) => ({ list: { id: { url: "x.example", comment: text } } })],
  ["envelope.from", (text) => ({ envelope: { from: text } })],
  ["envelope.to[0]", (text) => ({ envelope: { to: [text] } })],
  ["attachments[0].filename", (text) => ({ attachments: [{ content: "x", filename: text }] })],
  [
    "attachments[0].contentType",
    (text) => ({ attachments: [{ content: "x", contentType: `text/plain; a=${text}` }] }),
  ],
  ["attachments[0].cid", (text) => ({ attachments: [{ content: "x", cid: text }] })],
  ["attachments[0].headers.X-A", (text) => ({ attachments: [{ content: "x", headers: { "X-A": text } }] })],
  ["attachments[0].path", (text) => ({ attachments: [{ path: `data:text/${text};base64,AA==` }] })],
  [
    "alternatives[0].contentType",
    (text) => ({ alternatives: [{ content: "x", contentType: `text/x; a="${text}"` }] }),
  ],
  ["text.contentType", (text) => ({ text: { content: "x", contentType: text } })],
  ["icalEvent.method", (text) => ({ icalEvent: { content: "x", method: text } })],
  ["boundaryPrefix", (text) => ({ boundaryPrefix: text })],
  ["otp.origin", (text) => ({ otp: { code: "1", origin: text } })],
];

/** All headers that those places and the simple mail can lead to. */
const KNOWN_HEADERS = new Set(
  `from to cc reply-to subject date message-id in-reply-to references x-mailer x-a list-help list-id otp-token mime-version
   content-type content-transfer-encoding content-disposition content-id`.split(/\s+/),
);

describe("header injection", () => {
  for (const [path, fields] of PLACES) {
    test(`a line break or another control character in ${path} is refused with that path`, () => {
      for (const evil of [
        "\r\nX-Evil: 1",
        "\n X-Evil: 1",
        "\rX-Evil: 1",
        "\0",
        "\x0b",
        "\x7f",
        "\x85",
        "\u2028X-Evil: 1",
        "\ud800",
      ]) {
        refused({ ...simple, ...fields(`a${evil}b`) }, "invalid-header", path);
      }
    });
  }

  test("a control character in a header's name is refused with the name as path", () => {
    refused({ ...simple, headers: { "X-A\r\nX-Evil": "1" } }, "invalid-header", 'headers["X-A\\r\\nX-Evil"]');
    refused({ ...simple, "x\r\ny": "1" }, "invalid-header", '["x\\r\\ny"]');
  });

  test("content may hold any character", async () => {
    const wild = "a\r\nX-Evil: 1\n\0\u2028\x85b";
    const fields = {
      ...simple,
      text: wild,
      html: { content: wild },
      attachments: [{ filename: "x", content: wild }],
    };
    assert.ok((await headersOf(fields)).every(({ key }) => key !== "x-evil"));
  });

  test("whatever text is put anywhere, it adds no header: it is refused, or stays where it is", async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\u2028",
        "\u0085",
        "X-Evil: 1",
        ": ",
        '"',
        "\\",
        "<",
        ">",
        "(",
        ",",
        ";",
        "=?utf-8?q?=0D=0AX-Evil:_1?=",
        "ü",
        "a",
        "@",
        "b.example",
      ),
      fc.string({ unit: "binary", maxLength: 6 }),
    );
    const place = fc.constantFrom(...PLACES.map(([, fields]) => fields));
    await fc.assert(
      fc.asyncProperty(place, fc.array(piece, { maxLength: 8 }), async (fields, pieces) => {
        const given = { ...simple, ...fields(pieces.join("")) };
        let headers: HeaderList;
        try {
          headers = await headersOf(given);
        } catch (error) {
          assert.ok(error instanceof DomainError, `a fault: ${String(error)}`);
          return;
        }
        const own =
          "headers" in given && Array.isArray(given.headers)
            ? [String(given.headers[0].key).toLowerCase()]
            : [];
        const strange = headers
          .map(({ key }) => key)
          .filter((key) => !KNOWN_HEADERS.has(key) && !own.includes(key));
        assert.deepEqual(strange, [], JSON.stringify(given));
        const once = headers.map(({ key }) => key).filter((key) => key !== "x-a"); // one place has two of it
        assert.equal(new Set(once).size, once.length, "no header is there twice");
      }),
      { numRuns: 1_500 },
    );
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
