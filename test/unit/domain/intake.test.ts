import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MAX_SUBJECT_CHARS, intake } from "#shared/domain/intake.ts";
import type { IntakeOptions, IntakeResult } from "#shared/domain/intake.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import { address } from "../../support/builders.ts";
import { chunksOf, collect } from "../../support/bytes.ts";

const OPTIONS: IntakeOptions = {
  maxBytes: 1_000_000,
  maxHops: 35,
  bareNewlines: "refuse",
  dkim: true,
  addMissing: ["message-id", "date"],
  messageIdDomain: "sender.example",
  newMessageIdLocal: () => "made",
  onlyRecipient: null,
  originatingIp: null,
  now: Date.UTC(2026, 10, 20, 22, 53, 58) as EpochMs,
};

async function run(
  text: string | Buffer,
  options: Partial<IntakeOptions> = {},
  cuts: readonly number[] = [],
): Promise<{ text: string; result: IntakeResult }> {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  const pass = intake(chunksOf(bytes, cuts), { ...OPTIONS, ...options });
  const stored = (await collect(pass.chunks)).toString("latin1");
  return { text: stored, result: pass.result() };
}

const complete = "Message-ID: <a@b.example>\r\nDate: Fri, 20 Nov 2026 22:53:58 +0000\r\n";

describe("headers on the way in", () => {
  test("a complete message passes byte for byte", async () => {
    const mail = `${complete}X-Odd :  a\r\n\tb \r\nx-odd:c\r\n\r\nHello \t \r\n.\r\n..\r\n\0\r\n`;
    const { text, result } = await run(mail);
    assert.equal(text, mail);
    assert.equal(result.body.bytes, mail.length);
    assert.equal(result.body.headerBytes, mail.indexOf("\r\n\r\n") + 4);
  });

  test("Bcc, Resent-Bcc and X-Sending-Zone go with their folds, and can still be read", async () => {
    const { text, result } = await run(
      `bcc: a@b.example,\r\n c@d.example\r\n${complete}Resent-Bcc: e@f.example\r\nX-SENDING-ZONE: fast\r\nTo: x@y.example\r\n\r\nbody\r\n`,
    );
    assert.equal(text, `${complete}To: x@y.example\r\n\r\nbody\r\n`);
    assert.deepEqual(
      result.headers.map((header) => header.key),
      ["bcc", "message-id", "date", "resent-bcc", "x-sending-zone", "to"],
    );
  });

  test("a message with two From headers is refused, however they are spelled; with none it passes", async () => {
    for (const second of ["From: b@two.example", "FROM : b@two.example", "from:\r\n b@two.example"]) {
      await assert.rejects(run(`From: a@one.example\r\n${complete}${second}\r\n\r\nbody\r\n`), {
        name: "DomainError",
        code: "invalid-header",
        path: "from",
        message: /2 From headers/,
      });
    }
    const several = `From: a@one.example, b@two.example\r\nSender: a@one.example\r\n${complete}\r\nbody\r\n`;
    assert.equal((await run(several)).text, several, "one header may name several authors");
    const none = await run(`${complete}\r\nbody\r\n`);
    assert.equal(none.text, `${complete}\r\nbody\r\n`);
    assert.equal(none.result.from, null);
  });

  test("Message-ID and Date are added below what came", async () => {
    const { text, result } = await run("Subject: x\r\n\r\nbody\r\n");
    assert.equal(
      text,
      "Subject: x\r\nMessage-ID: <made@sender.example>\r\nDate: Fri, 20 Nov 2026 22:53:58 +0000\r\n\r\nbody\r\n",
    );
    assert.equal(result.messageIdHeader, "<made@sender.example>");
    assert.equal(result.date, null);
  });

  test("with nothing to add, the Message-ID made for lists stays out of the message", async () => {
    const { text, result } = await run("Subject: x\r\n\r\n", { addMissing: [] });
    assert.equal(text, "Subject: x\r\n\r\n");
    assert.equal(result.messageIdHeader, "<made@sender.example>");
  });

  test("an empty Message-ID is replaced", async () => {
    const { text } = await run(`Message-ID: \r\n${complete.slice(complete.indexOf("Date"))}\r\n`);
    assert.equal(text.match(/message-id/gi)?.length, 1);
    assert.match(text, /^Message-ID: <made@sender\.example>\r$/m);
  });

  for (const date of ["yesterday", "", "Thu, 1 Jan 1970 00:00:00 +0000", "Fri, 31 Foo 2026 10:00:00 +0000"]) {
    test(`the Date ${JSON.stringify(date)} is replaced`, async () => {
      const { text, result } = await run(`Message-ID: <a@b>\r\nDate: ${date}\r\nSubject: x\r\n\r\n`);
      assert.equal(text, "Message-ID: <a@b>\r\nSubject: x\r\nDate: Fri, 20 Nov 2026 22:53:58 +0000\r\n\r\n");
      assert.equal(result.date, null);
    });
  }

  test("X-Originating-IP is set, replaces theirs, or is left alone", async () => {
    const mail = `X-Originating-IP: [203.0.113.9]\r\n${complete}\r\n`;
    assert.equal(
      (await run(mail, { originatingIp: "192.0.2.7" })).text,
      `${complete}X-Originating-IP: [192.0.2.7]\r\n\r\n`,
    );
    assert.equal((await run(mail)).text, mail);
  });

  test("To is added when no To, Cc or Bcc came, and never shows several recipients", async () => {
    const only = { addMissing: ["to"], onlyRecipient: address("x@y.example") } as const;
    assert.equal((await run("A: b\r\n\r\n", only)).text, "A: b\r\nTo: x@y.example\r\n\r\n");
    assert.equal(
      (await run("A: b\r\n\r\n", { ...only, onlyRecipient: null })).text,
      "A: b\r\nTo: undisclosed-recipients:;\r\n\r\n",
    );
    for (const present of ["To: a@b.example", "CC: a@b.example"]) {
      assert.equal((await run(`${present}\r\n\r\n`, only)).text, `${present}\r\n\r\n`);
    }
    assert.equal((await run("Bcc: a@b.example\r\n\r\n", only)).text, "\r\n");
  });

  test("MIME-Version is added when a Content header stands without it", async () => {
    const options = { addMissing: ["mime-version"] } as const;
    const typed = "Content-Type: text/plain\r\n";
    assert.equal((await run(`${typed}\r\n`, options)).text, `${typed}MIME-Version: 1.0\r\n\r\n`);
    assert.equal(
      (await run(`mime-version: 1.0\r\n${typed}\r\n`, options)).text,
      `mime-version: 1.0\r\n${typed}\r\n`,
    );
    assert.equal((await run("A: b\r\n\r\n", options)).text, "A: b\r\n\r\n");
  });

  test("as many hops as allowed pass, and one more is a loop", async () => {
    const hops = (count: number): string => `${"Received: by x.example\r\n".repeat(count)}${complete}\r\n`;
    assert.equal((await run(hops(35))).text, hops(35));
    await assert.rejects(run(hops(36)), { name: "DomainError", code: "delivery-loop" });
  });
});

describe("messages of no proper form", () => {
  const added = "Message-ID: <made@sender.example>\r\nDate: Fri, 20 Nov 2026 22:53:58 +0000\r\n";
  const mailbox = "From anna@one.example Sat Nov 21 05:22:03 2026\r\n";
  const cases: Record<string, [string, string]> = {
    "no header block": ["Hello there\r\nbye\r\n", `${added}\r\nHello there\r\nbye\r\n`],
    "an empty line first": ["\r\nA: b\r\n", `${added}\r\nA: b\r\n`],
    "white space first": [" A: b\r\n\r\nc\r\n", `${added}\r\n A: b\r\n\r\nc\r\n`],
    "a line among the headers that is none": [
      "A: b\r\nHello\r\nC: d\r\n\r\ne\r\n",
      `A: b\r\n${added}\r\nHello\r\nC: d\r\n\r\ne\r\n`,
    ],
    "headers only": ["A: b\r\n", `A: b\r\n${added}\r\n`],
    "headers only, the last without line end": ["A: b\r\nC: d", `A: b\r\nC: d\r\n${added}\r\n`],
    "words that begin like a mailbox file": [
      "From here on\r\nall\r\n",
      `${added}\r\nFrom here on\r\nall\r\n`,
    ],
    "a mailbox file's line among the headers": [
      `A: b\r\n${mailbox}\r\n`,
      `A: b\r\n${added}\r\n${mailbox}\r\n`,
    ],
    nothing: ["", `${added}\r\n`],
    "a last line without end": ["A: b\r\n\r\nend", `A: b\r\n${added}\r\nend\r\n`],
  };
  for (const line of [mailbox, `>${mailbox}`, mailbox.replace("2026", "+0200 2026")]) {
    test(`the line that a mailbox file has before a mail is no part of it: ${JSON.stringify(line)}`, async () => {
      const mail = `${line}A: b\r\n\r\nc\r\n${line}`;
      for (let cut = 0; cut <= mail.length; cut++)
        assert.equal((await run(mail, {}, [cut])).text, `A: b\r\n${added}\r\nc\r\n${line}`);
    });
  }

  for (const [name, [mail, stored]] of Object.entries(cases)) {
    test(`${name}: nothing is lost, wherever the source is cut`, async () => {
      for (let cut = 0; cut <= mail.length; cut++) assert.equal((await run(mail, {}, [cut])).text, stored);
    });
  }

  test("a line of a megabyte that is no header is content, and is not waited for", async () => {
    const line = "x".repeat(1_000_000);
    const cuts = Array.from({ length: 1_000 }, (_, i) => i * 1_000);
    const { text } = await run(line, { maxHeaderBytes: 2_000 }, cuts);
    assert.equal(text, `${added}\r\n${line}\r\n`);
  });

  test("a header block over its bound is refused", async () => {
    const mail = `A: ${"x".repeat(100)}\r\n\r\n`;
    await assert.rejects(run(mail, { maxHeaderBytes: 104 }), {
      name: "DomainError",
      code: "header-too-long",
    });
    assert.ok(await run(mail, { maxHeaderBytes: 105 }));
  });
});

describe("line ends", () => {
  for (const mail of [
    "A: b\n\r\nc\r\n",
    "A: b\r\n\r\nc\nd\r\n",
    "A: b\r\n\r\nc\rd\r\n",
    "A: b\r\n\r\nc\r",
    "A: b\r\n\r\n\r\r\n",
    "\n",
    "A: b\r\n\r\nx\r\n.\n",
  ]) {
    test(`${JSON.stringify(mail)} is refused, wherever it is cut`, async () => {
      for (let cut = 0; cut <= mail.length; cut++) {
        await assert.rejects(
          run(mail, {}, [cut]),
          { name: "DomainError", code: "bare-newline" },
          `cut at ${cut}`,
        );
      }
    });
  }

  test("bare line ends are made CRLF where that is asked for, wherever the message is cut", async () => {
    const mail = "A: b\n c\r\r\nx\r\n\ny\n\r\n\r";
    const fixed = "A: b\r\n c\r\n\r\nx\r\n\r\ny\r\n\r\n\r\n";
    for (let one = 0; one <= mail.length; one++) {
      for (let two = one; two <= mail.length; two++) {
        const { text } = await run(mail, { bareNewlines: "normalise", addMissing: [] }, [one, two]);
        assert.equal(text, fixed, `cut at ${one} and ${two}`);
      }
    }
  });
});

describe("size and flow", () => {
  test("a message may have as many bytes as allowed and not one more", async () => {
    const mail = `${complete}\r\nbody\r\n`;
    assert.equal((await run(mail, { maxBytes: mail.length })).text, mail);
    await assert.rejects(run(mail, { maxBytes: mail.length - 1 }), (error: Error) => {
      assert.equal((error as { code?: string }).code, "message-too-large");
      assert.match(error.message, new RegExp(String(mail.length - 1)));
      return true;
    });
  });

  test("a source without end is left at the chunk that goes over", async () => {
    let pulled = 0;
    let closed = false;
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        for (;;) {
          pulled++;
          yield Buffer.from("A: b\r\n\r\n");
        }
      } finally {
        closed = true;
      }
    }
    const pass = intake(endless(), { ...OPTIONS, maxBytes: 79 });
    await assert.rejects(collect(pass.chunks), { code: "message-too-large" });
    assert.equal(pulled, 10);
    assert.ok(closed);
  });

  test("content is read only as fast as it is taken, and passes without a copy", async () => {
    let pulled = 0;
    const piece = Buffer.alloc(65_536, "0123456789abcde\n");
    for (let i = 14; i < piece.length; i += 16) piece[i] = 13;
    async function* source(): AsyncGenerator<Buffer> {
      yield Buffer.from(`${complete}\r\n`);
      for (; pulled < 100; pulled++) yield piece;
    }
    const pass = intake(source(), { ...OPTIONS, maxBytes: 7e6 });
    let taken = 0;
    for await (const chunk of pass.chunks) {
      if (taken > 0) assert.equal(chunk, piece);
      assert.ok(pulled <= taken, "no chunk is read ahead");
      taken++;
    }
    assert.equal(taken, 101);
    assert.equal(pass.result().body.bytes, complete.length + 2 + 100 * piece.length);
  });

  test("a small message is one chunk", async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of intake(chunksOf(Buffer.from("A: b\r\n\r\nbody\r\n")), OPTIONS).chunks)
      chunks.push(chunk);
    assert.equal(chunks.length, 1);
  });

  test("an error of the source rises as it is", async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.from("A: b\r\n\r\n");
      throw new Error("connection lost");
    }
    await assert.rejects(collect(intake(broken(), OPTIONS).chunks), /connection lost/);
  });

  test("the result is not to be had before the end", () => {
    assert.throws(
      () => intake(chunksOf(Buffer.alloc(0)), OPTIONS).result(),
      /before the message has come to its end/,
    );
  });
});

describe("what is read out of a message", () => {
  test("From, Subject and Date, decoded", async () => {
    const { result } = await run(
      'From: "J. Doe" <J.Doe@Sender.Example>, other@x.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?UTF-8?B?IGF1cw==?= Wien\r\nDate: Fri, 20 Nov 2026 23:00:00 +0100\r\n\r\n',
    );
    assert.equal(result.from, "J.Doe@sender.example");
    assert.equal(result.subject, "Gr\u{fc}\u{df}e aus Wien");
    assert.equal(result.date, Date.UTC(2026, 10, 20, 22, 0, 0));
    assert.equal(result.smtputf8Headers, false);
  });

  test("a From of thousands of addresses is not read, and passes", async () => {
    const from = `From: ${"a@b.example, ".repeat(700)}c@d.example\r\n`;
    const { text, result } = await run(`${from}${complete}\r\n`);
    assert.equal(result.from, null);
    assert.ok(text.startsWith(from));
  });

  test("a subject is cut, without cutting a character in two, and has no controls", async () => {
    const { result } = await run(`Subject: \u{1f4e7}a\tb${"\u{1f4e7}".repeat(1_000)}\r\n\r\n`);
    assert.equal(Array.from(result.subject ?? "").length, MAX_SUBJECT_CHARS);
    assert.match(result.subject ?? "", /^\u{1f4e7}a b\u{1f4e7}+$/u);
    assert.equal((await run("A: b\r\n\r\n")).result.subject, null);
    assert.equal((await run("Subject:\r\n\r\n")).result.subject, "");
  });

  test("an encoded subject cannot bring in line ends", async () => {
    const { result } = await run("Subject: =?utf-8?q?a=0D=0ABcc:_x=E2=80=A8y?=\r\n\r\n");
    assert.equal(result.subject, "a Bcc: x y");
  });

  test("non-ASCII headers and content are told apart, and what is taken out does not count", async () => {
    const utf8 = await run("Subject: \u{e4}\r\n\r\nascii\r\n");
    assert.deepEqual([utf8.result.smtputf8Headers, utf8.result.body.eightBit], [true, false]);
    const eight = await run("Bcc: \u{e4}\r\n\r\n\u{e4}\r\n");
    assert.deepEqual([eight.result.smtputf8Headers, eight.result.body.eightBit], [false, true]);
  });

  test("the body hash is that of the content as stored, or null", async () => {
    const empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert.equal((await run("A: b\r\n")).result.body.dkimBodyHash, empty);
    assert.equal((await run("A: b\r\n\r\n\r\n\r\n")).result.body.dkimBodyHash, empty);
    assert.notEqual((await run("A: b\r\n\r\nx")).result.body.dkimBodyHash, empty);
    assert.equal((await run("A: b\r\n", { dkim: false })).result.body.dkimBodyHash, null);
  });
});
