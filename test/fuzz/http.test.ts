/** Whatever is thrown at the HTTP API is answered, never with 5xx, and the API is still there afterwards. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";

import fc from "fast-check";

import { MailFields } from "#shared/app/message-fields.ts";
import { parseHeaders } from "#shared/domain/headers.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";
import { collectingSubmit } from "../support/feeder-harness.ts";

const RUNS = 400;
const { submit, collected } = collectingSubmit();
let api: ApiHarness;
before(async () => {
  api = await startApi({ submit });
});
after(() => api[Symbol.asyncDispose]());

const FIELDS = Object.keys(MailFields.shape);
const PART_FIELDS = [
  "content",
  "raw",
  "path",
  "href",
  "encoding",
  "contentType",
  "filename",
  "cid",
  "headers",
  "name",
  "address",
  "group",
  "url",
  "comment",
  "prepared",
  "value",
  "key",
  "type",
  "data",
  "from",
  "to",
  "__proto__",
  "constructor",
  "toString",
  "then",
];

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom(
    "",
    "a@b.example",
    "Anna <anna@example.com>, b@c.example",
    "x\r\nX-Evil: 1",
    "\0",
    "base64",
    "aGk=",
    "text/html",
    "multipart/mixed; boundary=x",
    "message/rfc822",
    "data:text/plain;base64,aGk=",
    "data:,%zz",
    "/etc/passwd",
    "http://127.0.0.1/",
    "utf-16le",
    "2026-12-01T00:00:00Z",
    "<i@d.example>",
    "high",
    "From: a@b.example\r\nTo: c@d.example\r\n\r\nx",
  ),
);
const value = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    text,
    fc.constantFrom(null, true, false, 0, -1, 1.5, 1e308, Number.MAX_SAFE_INTEGER, []),
    fc.array(tie("any"), { maxLength: 3 }),
    fc.dictionary(fc.oneof(fc.constantFrom(...PART_FIELDS), text), tie("any"), { maxKeys: 4 }),
  ),
})).any;
const fields = fc.dictionary(
  fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...FIELDS) }, { weight: 1, arbitrary: text }),
  value,
  { maxKeys: 7 },
);
const sendable = fields.map((wild) => ({ from: "a@b.example", to: "c@d.example", ...wild }));

test("any JSON at /send is taken or refused with a sentence and a code, never 5xx", async () => {
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(fc.oneof(sendable, fields, value), async (body) => {
      const json = JSON.stringify(body);
      const answer = await api.ask("POST", "/send", {
        headers: { "content-type": "application/json" },
        body: json,
      });
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      assert.ok(answer.status < 500, `${answer.status} for ${json}: ${JSON.stringify(api.logged.at(-1))}`);
      if (answer.status === 200) return;
      assert.equal(typeof answer.json.error, "string");
      assert.match(answer.json.code, /^[a-z-]+$/);
    }),
    { numRuns: RUNS },
  );
  assert.ok((statuses.get(200) ?? 0) > 0 && (statuses.get(400) ?? 0) > 0, "both were seen");
});

test("no mail that was taken has a header that came by way of a value", () => {
  assert.ok(collected.length > 0);
  for (const mail of collected) {
    const headers = parseHeaders(Buffer.from(mail.text, "latin1"));
    assert.ok(!headers.some(({ key }) => key === "x-evil"), mail.text);
  }
});

test("any bytes at /send-raw are taken or refused, never 5xx", async () => {
  const line = fc.oneof(
    text,
    fc.constantFrom(
      "From: a@b.example",
      "To: c@d.example, e@f.example",
      "To: group: a@b.example;",
      "Bcc:",
      "",
      " folded",
      "Sender: <>",
      "=?utf-8?q?x?=",
    ),
  );
  const message = fc
    .array(fc.tuple(line, fc.constantFrom("\n", "\r\n", "\r", "")), { maxLength: 8 })
    .map((lines) => lines.flat().join(""));
  const bytes = fc.oneof(
    message.map((one) => Buffer.from(one)),
    fc.uint8Array({ maxLength: 200 }).map((one) => Buffer.from(one)),
  );
  const query = fc.oneof(
    fc.constant(""),
    fc
      .tuple(text, text)
      .map(
        ([from, to]) =>
          `?from=${encodeURIComponent(from.toWellFormed())}&to=${encodeURIComponent(to.toWellFormed())}`,
      ),
  );
  await fc.assert(
    fc.asyncProperty(bytes, query, async (body, search) => {
      const answer = await api.ask("POST", `/send-raw${search}`, {
        headers: { "content-type": "message/rfc822" },
        body,
      });
      assert.ok(answer.status < 500, JSON.stringify(api.logged.at(-1)));
    }),
    { numRuns: RUNS },
  );
});

test("any path, method and query is answered, never 5xx", async () => {
  const segment = fc.oneof(
    fc.constantFrom(
      "send",
      "send-raw",
      "counter",
      "zone",
      "queued",
      "active",
      "deferred",
      "message",
      "fetch",
      "suppressionlist",
      "blacklist",
      "zones",
      "events",
      "01m7xkq4pgfjhbd0jf9g3bxxt5",
      "001",
      "..",
      "",
      "%00",
      "%",
      "%ff",
    ),
    text.map((one) => encodeURIComponent(one.toWellFormed())),
  );
  const parameter = fc.tuple(
    fc.constantFrom("cursor", "pageSize", "start", "order", "after", "limit", "body", "x"),
    text.map((one) => encodeURIComponent(one.toWellFormed())),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"),
      fc.array(segment, { maxLength: 5 }),
      fc.array(parameter, { maxLength: 3 }),
      fc.option(value, { nil: undefined }),
      async (method, segments, parameters, body) => {
        const search = parameters.length > 0 ? `?${parameters.map((pair) => pair.join("=")).join("&")}` : "";
        const path = `/${segments.join("/")}${search}`;
        const answer = await api.ask(method, path, body === undefined ? {} : { body: JSON.stringify(body) });
        assert.ok(answer.status < 500, `${method} ${path}: ${JSON.stringify(api.logged.at(-1))}`);
      },
    ),
    { numRuns: RUNS },
  );
});

test("any bytes on the socket end in an answer or a closed connection", async () => {
  const start = fc.constantFrom(
    "",
    "GET /zones HTTP/1.1\r\n",
    "POST /send HTTP/1.1\r\nHost: localhost\r\n",
    "POST /send-raw HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET http://[::1 HTTP/1.1\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
  );
  await fc.assert(
    fc.asyncProperty(start, fc.uint8Array({ maxLength: 60 }), async (head, tail) => {
      const socket = connect(api.server.port, "127.0.0.1");
      socket.on("error", () => undefined); // a reset is an end too
      socket.resume();
      socket.end(Buffer.concat([Buffer.from(head), tail]));
      await once(socket, "close");
    }),
    { numRuns: 100 },
  );
  assert.equal((await api.ask("GET", "/healthz")).status, 200);
});

test("nothing of all that was a fault of ours", () => {
  assert.deepEqual(
    api.logged.filter(({ level }) => Number(level) >= 50),
    [],
  );
});
