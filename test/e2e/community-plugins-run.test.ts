/** Plugins as users of ZoneMTA have them (test/data/plugins), all at once, on mail by both front doors. */

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { describe, test } from "node:test";

import { createTransport } from "nodemailer";

import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { pythonLacks, runPython } from "../support/python.ts";
import type { Relay } from "../support/relay.ts";
import { queuedId, startRelay } from "../support/relay.ts";
import { verifyDkim } from "../support/verify-dkim.ts";

const FOLDER = join(import.meta.dirname, "../data/plugins");
const noDkimpy = pythonLacks("dkim");
const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });
const BLOCKED = Buffer.from("a file that is on the list");

interface Running extends AsyncDisposable {
  readonly relay: Relay;
  readonly mx: FakeMx;
}

async function relayWithAll(limit = 1_000): Promise<Running> {
  const stack = new AsyncDisposableStack();
  const mx = stack.use(await startFakeMx());
  const config: ConfigInput = {
    zones: { default: { port: mx.port }, campaigns: { port: mx.port } },
    dkim: {
      keys: [
        {
          domain: "sender.example",
          selector: "s",
          privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        },
      ],
    },
    pluginsPath: FOLDER,
    plugins: {
      "rewrite-from": "receiver",
      footer: { enabled: "receiver" },
      "block-attachments": {
        enabled: "receiver",
        sha256: [createHash("sha256").update(BLOCKED).digest("hex")],
      },
      "route-by-header": { enabled: ["receiver"], zone: "campaigns" },
      "rate-per-user": { enabled: ["receiver", "main"], limit },
    },
  };
  const relay = stack.use(await startRelay({ dns: fakeDns(oneExample()), config }));
  return { relay, mx, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const MAIL = {
  from: "Anna <anna@sender.example>",
  to: "ben@one.example",
  subject: "Grüße",
  text: `Schöne Grüße. ${"A long line that has to be folded. ".repeat(10)}`,
  html: "<html><body><p>Schöne Grüße</p></body></html>",
};

/** Resolves with the reply to the mail; rejects with that which refused it. */
async function bySmtp({ smtpPort }: Relay, fields: object, name = "client.example"): Promise<string> {
  const transport = createTransport({ host: "127.0.0.1", port: smtpPort, ignoreTLS: true, name });
  const sent = (await transport.sendMail({ ...MAIL, ...fields })) as { response: string };
  return sent.response;
}

async function byHttp({ httpUrl }: Relay, fields: object): Promise<{ status: number; text: string }> {
  const response = await fetch(`${httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...MAIL, ...fields }),
  });
  return { status: response.status, text: await response.text() };
}

/** Decoded contents of the parts of that type, as latin1. */
function parts(message: Buffer, type: string): string[] {
  const segments = message.toString("latin1").split(/\r\n--[^ =\r\n][^\r\n]*(?:\r\n)?/);
  return segments.flatMap((segment) => {
    const end = segment.indexOf("\r\n\r\n");
    const head = segment.slice(0, end).toLowerCase();
    const body = segment.slice(end + 4);
    if (!head.includes(`content-type: ${type}`)) return [];
    if (head.includes("encoding: base64")) return [Buffer.from(body, "base64").toString("latin1")];
    return [head.includes("encoding: quoted-printable") ? fromQuotedPrintable(body) : body];
  });
}

function fromQuotedPrintable(text: string): string {
  return text
    .replaceAll("=\r\n", "")
    .replaceAll(/=([0-9A-F]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

const utf8 = (text: string): string => Buffer.from(text).toString("latin1");

function assertSigned(message: Buffer): void {
  assert.deepEqual(verifyDkim(message, { "s._domainkey.sender.example": publicKey }), [true]);
  if (noDkimpy !== false) return;
  const p = publicKey.export({ type: "spki", format: "der" }).toString("base64");
  const records = { "s._domainkey.sender.example": `v=DKIM1; k=rsa; p=${p}` };
  assert.deepEqual(runPython("verify-dkim.py", { message: message.toString("base64"), records }), [true]);
}

describe("plugins as users of ZoneMTA write them", { timeout: 60_000 }, () => {
  test("put a footer into each text, whatever its encoding, change From, and the signature holds", async () => {
    await using it = await relayWithAll();
    for (const textEncoding of ["quoted-printable", "base64"] as const) {
      const attachments = [{ filename: "notes.txt", content: "left alone", contentType: "text/plain" }];
      const headers = { "X-Send-As": "Office <office@sender.example>" };
      const reply = await bySmtp(it.relay, { textEncoding, attachments, headers });
      await it.relay.finished(queuedId(reply));
      const message = it.mx.mails.at(-1)?.body as Buffer;
      assert.match(message.toString("latin1"), /^From: "?Office"? <office@sender\.example>\r$/m);
      assert.doesNotMatch(message.toString("latin1"), /X-Send-As/i);
      const [text = "", attached = ""] = parts(message, "text/plain");
      assert.ok(text.startsWith(utf8("Schöne Grüße. A long line")), text);
      assert.ok(text.endsWith(utf8("\r\n-- \r\nExample GmbH, Köln\r\n")), JSON.stringify(text.slice(-60)));
      assert.equal(attached.trim(), "left alone");
      const html = utf8("<html><body><p>Schöne Grüße</p><p>Example GmbH, K&ouml;ln</p></body></html>");
      assert.equal(parts(message, "text/html")[0]?.trim(), html);
      assertSigned(message);
    }
  });

  test("write in the charset of the part, and in nested parts too", async () => {
    await using it = await relayWithAll();
    const raw = [
      "From: anna@sender.example",
      "To: ben@one.example",
      "Subject: nested",
      "MIME-Version: 1.0",
      'Content-Type: multipart/mixed; boundary="outer"',
      "",
      "--outer",
      'Content-Type: multipart/alternative; boundary="inner"',
      "",
      "--inner",
      "Content-Type: text/plain; charset=iso-8859-1",
      "Content-Transfer-Encoding: quoted-printable",
      "",
      "Gr=FC=DFe",
      "--inner",
      "Content-Type: text/html; charset=iso-8859-1",
      "Content-Transfer-Encoding: quoted-printable",
      "",
      "<p>Gr=FC=DFe</p>",
      "--inner--",
      "",
      "--outer",
      "Content-Type: text/plain",
      "",
      "plain",
      "--outer--",
      "",
    ].join("\r\n");
    const envelope = { from: "anna@sender.example", to: "ben@one.example" };
    await it.relay.finished(queuedId(await bySmtp(it.relay, { raw, envelope })));
    const message = it.mx.mails[0]?.body as Buffer;
    assert.deepEqual(parts(message, "text/plain"), [
      "Gr\xfc\xdfe\r\n-- \r\nExample GmbH, K\xf6ln\r\n",
      "plain\r\n-- \r\nExample GmbH, Koeln\r\n",
    ]);
    assert.deepEqual(parts(message, "text/html"), ["<p>Gr\xfc\xdfe</p><p>Example GmbH, K&ouml;ln</p>\r\n"]);
    assertSigned(message);
  });

  test("refuse attachments by name and by hash, at both front doors", async () => {
    await using it = await relayWithAll();
    const wanted = { filename: "a.pdf", content: Buffer.from("fine").toString("base64"), encoding: "base64" };
    const program = { ...wanted, filename: "run.exe" };
    const listed = { ...wanted, filename: "b.pdf", content: BLOCKED.toString("base64") };
    for (const attachment of [program, listed]) {
      await assert.rejects(bySmtp(it.relay, { attachments: [attachment] }), {
        responseCode: 552,
        response: `552 5.7.0 We do not send ${attachment.filename}`,
      });
      const answer = await byHttp(it.relay, { attachments: [attachment] });
      assert.deepEqual([answer.status, /We do not send/.test(answer.text)], [422, true]);
    }
    assert.equal((await byHttp(it.relay, { attachments: [wanted] })).status, 200);
    assert.equal((await it.mx.waitFor(1)).length, 1);
  });

  test("choose a zone by a header, and keep what they put on the envelope", async () => {
    await using it = await relayWithAll();
    const headers = { "X-Campaign": "spring" };
    const id = queuedId(await bySmtp(it.relay, { headers }));
    const { message, rows } = await it.relay.finished(id);
    assert.deepEqual([rows[0]?.zone, message.extra?.["campaign"]], ["campaigns", "spring"]);
    const plain = await it.relay.finished(queuedId(await bySmtp(it.relay, {})));
    assert.equal(plain.rows[0]?.zone, "default");
  });

  test("allow each client so much, and show it on a page", async () => {
    await using it = await relayWithAll(2);
    for (let mail = 0; mail < 2; mail++) await bySmtp(it.relay, {}, "eager.example");
    await assert.rejects(bySmtp(it.relay, {}, "eager.example"), { responseCode: 450 });
    await bySmtp(it.relay, {}, "modest.example");
    const page = await fetch(`${it.relay.httpUrl}/plugin/rate-per-user/counts`);
    assert.equal(page.headers.get("content-type"), "text/html");
    const text = await page.text();
    assert.match(text, /eager\.example<\/td><td>2</);
    assert.match(text, /modest\.example<\/td><td>1</);
  });

  test("work on twenty mails at once, each with its own", async () => {
    await using it = await relayWithAll();
    const numbers = Array.from({ length: 20 }, (_, i) => i);
    await Promise.all(
      numbers.map((i) => {
        const fields = {
          subject: `mail ${i}`,
          text: `text ${i}`,
          headers: { "X-Send-As": `office${i}@sender.example` },
          attachments: [{ filename: `${i}.bin`, content: Buffer.alloc(100_000, i) }],
        };
        return i % 2 === 0 ? bySmtp(it.relay, fields) : byHttp(it.relay, forHttp(fields));
      }),
    );
    const mails = await it.mx.waitFor(20);
    for (const { body } of mails) {
      const number = /^Subject: mail (\d+)\r$/m.exec(body.toString("latin1"))?.[1];
      assert.match(body.toString("latin1"), new RegExp(`^From: "?<?office${number}@sender\\.example`, "m"));
      assert.match(parts(body, "text/plain")[0] ?? "", new RegExp(`^text ${number}\r?\n-- \r\nExample GmbH`));
      assertOwn(body);
    }
  });
});

function forHttp(fields: { attachments: readonly { filename: string; content: Buffer }[] }): object {
  const attachments = fields.attachments.map(({ filename, content }) => ({
    filename,
    content: content.toString("base64"),
    encoding: "base64",
  }));
  return { ...fields, attachments };
}

/** Signed, by our own verifier alone: Python takes its time. */
function assertOwn(message: Buffer): void {
  assert.deepEqual(verifyDkim(message, { "s._domainkey.sender.example": publicKey }), [true]);
}
