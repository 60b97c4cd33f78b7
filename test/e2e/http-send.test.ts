/** `POST /send` and `POST /send-raw` over a real socket, down to what the store then holds. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { promisify } from "node:util";

import { parseMessageId } from "#shared/domain/ids.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { KIB, MIB } from "#shared/domain/units.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";

const mail = { from: "Anna <anna@example.com>", to: "ben@example.net", subject: "hello", text: "hi" };
const raw =
  "From: Anna <anna@example.com>\nTo: ben@example.net, Carl <carl@example.net>\nBcc: dora@example.net\nSubject: x\n\nbody\n";
const rfc822 = { "content-type": "message/rfc822" };

describe("POST /send", () => {
  let api: ApiHarness;
  before(async () => {
    api = await startApi({ api: { maxSize: 200 * KIB, maxRecipients: 5 } });
  });
  after(() => api[Symbol.asyncDispose]());

  test("answers in ZoneMTA's shape, and the message and its rows are then in the store", async () => {
    const { status, json } = await api.ask("POST", "/send", { body: { ...mail, bcc: "carl@example.net" } });
    assert.equal(status, 200);
    assert.deepEqual(json, {
      id: json.id,
      from: "anna@example.com",
      to: ["ben@example.net", "carl@example.net"],
      response: `Message queued as ${json.id}`,
      recipients: [
        { id: `${json.id}.001`, recipient: "ben@example.net", state: "queued" },
        { id: `${json.id}.002`, recipient: "carl@example.net", state: "queued" },
      ],
    });
    const kept = await api.backend.queue.get(parseMessageId(json.id) as MessageId);
    assert.equal(kept?.rows.length, 2);
    assert.deepEqual(kept?.message.origin, {
      interface: "api",
      protocol: "HTTP",
      ip: "127.0.0.1",
      host: null,
      helo: null,
      user: null,
      tls: null,
    });
    const text = await api.stored(json.id);
    assert.match(text, /^Subject: hello\r$/m);
    assert.doesNotMatch(text, /carl/);
  });

  test("keeps who the client acts for and where the mail came from", async () => {
    const headers = { "X-Authenticated-User": "shop 7", "X-Originating-IP": "2001:DB8::1" };
    const { json } = await api.ask("POST", "/send", { headers, body: mail });
    const { meta } = (await api.ask("GET", `/message/${json.id}`)).json;
    assert.deepEqual([meta.user, meta.origin], ["shop 7", "2001:db8::1"]);
    assert.match(await api.stored(json.id), /^X-Originating-IP: \[2001:db8::1\]\r$/im);
    const wrong = await api.ask("POST", "/send", {
      headers: { "X-Originating-IP": "300.1.1.1" },
      body: mail,
    });
    assert.deepEqual([wrong.status, wrong.json.path], [400, "X-Originating-IP"]);
    const control = await api.ask("POST", "/send", {
      headers: { "X-Authenticated-User": "a\tb" },
      body: mail,
    });
    assert.deepEqual([control.status, control.json.code], [400, "invalid-header"]);
  });

  test("waits until deferDelivery", async () => {
    const at = Date.now() + 3_600_000;
    const { json } = await api.ask("POST", "/send", { body: { ...mail, deferDelivery: at } });
    assert.equal(json.recipients[0].state, "deferred");
    const [row] = (await api.ask("GET", `/message/${json.id}`)).json.messages;
    assert.deepEqual([row.status, row.next], ["DEFERRED", at]);
  });

  test("tells which recipients are suppressed", async () => {
    await api.ask("POST", "/suppressionlist", { body: { domain: "gone.example" } });
    const { json } = await api.ask("POST", "/send", {
      body: { ...mail, to: "x@gone.example, ben@example.net" },
    });
    assert.deepEqual(
      json.recipients.map(({ state }: { state: string }) => state),
      ["suppressed", "queued"],
    );
  });

  const refusals: [what: string, body: unknown, status: number, code: string, path: string | undefined][] = [
    ["no recipient", { from: "a@b.example" }, 400, "no-recipients", "to"],
    ["no author", { to: "a@b.example" }, 400, "invalid-request", "from"],
    ["an address that is none", { ...mail, to: ["a@b.example", "x"] }, 400, "invalid-address", "to[1]"],
    ["an unknown field", { ...mail, subjetc: "x" }, 400, "invalid-request", "subjetc"],
    ["a header in a header", { ...mail, subject: "a\r\nBcc: x@y.example" }, 400, "invalid-header", "subject"],
    [
      "a file",
      { ...mail, attachments: [{ path: "/etc/passwd" }] },
      400,
      "file-access",
      "attachments[0].path",
    ],
    [
      "too many recipients",
      { ...mail, to: "abcdef".split("").map((c) => `${c}@b.example`) },
      422,
      "too-many-recipients",
      "to",
    ],
    ["JSON that is no object", "[]", 400, "invalid-request", undefined],
    ["JSON that is none", "{", 400, "invalid-body", undefined],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), 400, "invalid-body", undefined],
    ["nothing", "", 400, "invalid-body", undefined],
    [
      "a mail over the limit",
      { ...mail, attachments: [{ content: "x".repeat(190 * KIB) }] },
      413,
      "message-too-large",
      undefined,
    ],
    ["a body over the limit", { ...mail, text: "x".repeat(201 * KIB) }, 413, "too-large", undefined],
  ];
  for (const [what, body, status, code, path] of refusals) {
    test(`refuses ${what} with ${status} ${code}`, async () => {
      const headers = { "content-type": "application/json; charset=utf-8" };
      const answer = await api.ask("POST", "/send", { headers, body });
      assert.deepEqual(
        [answer.status, answer.json.code, answer.json.path],
        [status, code, path],
        answer.text,
      );
      assert.ok(answer.json.error.length > 10);
    });
  }

  test("refuses other content types with 415, naming the one that is taken", async () => {
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const { status, json } = await api.ask("POST", "/send", { headers, body: "from=a" });
    assert.deepEqual([status, json.code], [415, "unsupported-media-type"]);
    assert.match(json.error, /application\/json/);
  });

  test("leaves nothing behind of what it refused", async () => {
    const before = (await api.ask("GET", "/counter/zone/")).json.active.rows;
    for (const [, body] of refusals) await api.ask("POST", "/send", { body });
    assert.equal((await api.ask("GET", "/counter/zone/")).json.active.rows, before);
  });
});

describe("POST /send-raw", () => {
  let api: ApiHarness;
  before(async () => {
    api = await startApi({ api: { maxSize: 100 * MIB } });
  });
  after(() => api[Symbol.asyncDispose]());

  test("takes the envelope from the headers, makes every line end in CRLF, and drops Bcc", async () => {
    for (const type of ["message/rfc822", "text/plain; charset=utf-8", "application/octet-stream"]) {
      const { status, json } = await api.ask("POST", "/send-raw", {
        headers: { "content-type": type },
        body: raw,
      });
      assert.equal(status, 200, type);
      assert.equal(json.from, "anna@example.com");
      assert.deepEqual(json.to, ["ben@example.net", "carl@example.net", "dora@example.net"]);
      const text = await api.stored(json.id);
      assert.doesNotMatch(text, /[^\r]\n|dora/);
      assert.ok(text.endsWith("\r\n\r\nbody\r\n"));
    }
  });

  test("takes Sender when there is no From, and the query before both", async () => {
    const body = "Sender: s@b.example\nTo: ben@example.net\n\nx";
    assert.equal((await api.ask("POST", "/send-raw", { headers: rfc822, body })).json.from, "s@b.example");
    const query = "from=Bounces%20%3Cb@b.example%3E&to=x@c.example&to=y%2Bz@c.example";
    const { json } = await api.ask("POST", `/send-raw?${query}`, { headers: rfc822, body: raw });
    assert.deepEqual([json.from, json.to], ["b@b.example", ["x@c.example", "y+z@c.example"]]);
    const none = await api.ask("POST", "/send-raw?from=&to=x@c.example", {
      headers: rfc822,
      body: "no headers at all",
    });
    assert.deepEqual([none.status, none.json.from], [200, ""]);
  });

  const refusals: [what: string, query: string, body: string, status: number, code: string][] = [
    ["no recipients", "", "From: a@b.example\n\nx", 400, "no-recipients"],
    ["no sender", "", "To: a@b.example\n\nx", 400, "invalid-request"],
    ["nothing", "", "", 400, "invalid-request"],
    [
      "an address in To that is none",
      "",
      "From: a@b.example\nTo: c@d.example, nobody\n\nx",
      400,
      "invalid-address",
    ],
    ["an address in the query that is none", "?to=nobody", raw, 400, "invalid-address"],
    ["two addresses in one `to`", "?to=a@b.example,c@d.example", raw, 400, "invalid-address"],
    ["an unknown parameter", "?recipient=a@b.example", raw, 400, "invalid-request"],
    ["two return paths", "?from=a@b.example&from=c@d.example", raw, 400, "invalid-request"],
    ["headers without end", "", `From: a@b.example\nX: ${"a".repeat(2 * MIB)}`, 400, "header-too-long"],
  ];
  for (const [what, query, body, status, code] of refusals) {
    test(`refuses ${what} with ${status} ${code}`, async () => {
      const answer = await api.ask("POST", `/send-raw${query}`, { headers: rfc822, body });
      assert.deepEqual([answer.status, answer.json.code], [status, code], answer.text);
    });
  }

  test("refuses a compressed mail with 415, for stored as it is nobody could read it", async () => {
    const body = gzipSync("From: anna@example.com\r\nTo: ben@example.org\r\n\r\nhi\r\n");
    const headers = { "content-type": "message/rfc822", "content-encoding": "gzip" };
    const answer = await api.ask("POST", "/send-raw?from=&to=ben@example.org", { headers, body });
    assert.deepEqual([answer.status, answer.headers["accept-encoding"]], [415, "identity"]);
    const plain = await api.ask("POST", "/send-raw?from=&to=ben@example.org", {
      headers: { ...headers, "content-encoding": "identity" },
      body: "Subject: x\r\n\r\nhi\r\n",
    });
    assert.equal(plain.status, 200, plain.text);
  });

  test("refuses forms with 415", async () => {
    for (const type of [
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "application/json",
    ]) {
      const { status, json } = await api.ask("POST", "/send-raw", {
        headers: { "content-type": type },
        body: raw,
      });
      assert.deepEqual([status, json.code], [415, "unsupported-media-type"], type);
    }
  });

  test("streams: a large message comes through whole, and is streamed out again", async () => {
    const line = `${"x".repeat(74)}\r\n`;
    const body = Buffer.from(
      `From: a@b.example\r\nTo: c@d.example\r\n\r\n${line.repeat((40 * MIB) / line.length)}`,
    );
    const { status, json } = await api.ask("POST", "/send-raw", { headers: rfc822, body });
    assert.equal(status, 200);
    const content = await api.ask("GET", `/fetch/${json.id}?body=yes`);
    assert.equal(content.text.length, Math.trunc((40 * MIB) / line.length) * line.length);
    assert.equal(content.headers["content-length"], String(content.text.length));
  });
});

describe("sending when it cannot be done", () => {
  test("a store that fails is 503 with a word about when to try again, no detail, and a line in the log", async () => {
    const fault = new Error("disk sda1 is full");
    await using api = await startApi({ submit: () => Promise.reject(fault) });
    for (const [path, options] of [
      ["/send", { body: mail }],
      ["/send-raw", { headers: rfc822, body: raw }],
    ] as const) {
      const { status, json, headers, text } = await api.ask("POST", path, options);
      assert.deepEqual([status, json.code], [503, "unavailable"]);
      assert.match(json.error, /nothing was stored; try again/);
      assert.ok(headers["retry-after"]);
      assert.doesNotMatch(text, /sda1/);
    }
    const faults = api.logged.filter(({ msg }) => msg === "request failed");
    assert.equal(faults.length, 2);
    assert.match(JSON.stringify(faults[0]), /sda1/);
  });

  test("with api.maildrop off both are 404, and the rest is served", async () => {
    await using api = await startApi({ api: { maildrop: false } });
    assert.equal((await api.ask("POST", "/send", { body: mail })).status, 404);
    assert.equal((await api.ask("POST", "/send-raw", { headers: rfc822, body: raw })).status, 404);
    assert.equal((await api.ask("GET", "/zones")).status, 200);
  });
});

const curl = promisify(execFile);
const hasCurl = await curl("curl", ["--version"]).then(
  () => true,
  () => false,
);

describe("curl", { skip: hasCurl ? false : "curl is not installed" }, () => {
  test("sends fields and raw mail as the manual of ZoneMTA shows it", async () => {
    await using api = await startApi();
    const common = ["-sS", "--max-time", "10", "-w", "\n%{http_code}"];
    const json = ["-H", "Content-Type: application/json", "-d", JSON.stringify(mail), `${api.url}/send`];
    assert.match(
      (await curl("curl", [...common, ...json])).stdout,
      /"response":"Message queued as \w+".*\n200$/,
    );
    const whole = ["-H", "Content-Type: message/rfc822", "--data-binary", raw, `${api.url}/send-raw`];
    assert.match((await curl("curl", [...common, ...whole])).stdout, /"to":\["ben@example.net".*\n200$/);
  });

  test("gets the answer when it asks first (Expect: 100-continue) and when it sends too much", async () => {
    await using api = await startApi({ api: { maxSize: 1 * MIB } });
    const common = ["-sS", "--max-time", "10", "-w", "\n%{http_code}", "-H", "Content-Type: message/rfc822"];
    const expect = ["-H", "Expect: 100-continue", "--data-binary", raw, `${api.url}/send-raw`];
    assert.match((await curl("curl", [...common, ...expect])).stdout, /\n200$/);
    const large = ["--data-binary", "@-", `${api.url}/send-raw`];
    const sending = curl("curl", [...common, ...large]);
    sending.child.stdin?.on("error", () => undefined); // curl may stop reading once it has its answer
    sending.child.stdin?.end(Buffer.concat([Buffer.from(raw), Buffer.alloc(8 * MIB, "x\r\n")]));
    assert.match((await sending).stdout, /"code":"too-large".*\n413$/s);
  });
});
