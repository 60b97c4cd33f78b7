/** Fields of `POST /send` that are refused, and that none can add a header. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { DomainError } from "#shared/domain/errors.ts";
import type { HeaderList } from "#shared/domain/headers.ts";
import { compose, headersOf, refused, simple } from "../../support/compose-fields.ts";

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
