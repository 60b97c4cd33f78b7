import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { BounceCategory } from "#shared/domain/bounce-rule.ts";
import { BOUNCE_CATEGORIES } from "#shared/domain/bounce-rule.ts";
import { composeDsn } from "#shared/domain/dsn.ts";
import type { DsnInput } from "#shared/domain/dsn-input.ts";
import { firstValue, parseHeaders } from "#shared/domain/headers.ts";
import type { AttemptRecord } from "#shared/domain/queue-row.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import { address, attempt, message } from "../../support/builders.ts";
import { pythonLacks, runPython } from "../../support/python.ts";

const acceptedAt = Date.UTC(2026, 10, 20, 10, 0, 0) as EpochMs;
const refused: AttemptRecord = attempt({
  at: Date.UTC(2026, 10, 20, 10, 5, 0) as EpochMs,
  kind: "bounced",
  cause: "reply",
  reply: { code: 550, enhanced: "5.1.1", text: "No such user" },
  detail: "550 5.1.1 No such user",
  status: "5.1.1",
  category: "recipient",
  route: { mx: "mx1.dest.example", peer: "192.0.2.1", egress: null },
});
const expired: AttemptRecord = {
  ...refused,
  cause: "expired",
  reply: null,
  detail: "in the queue for 5 days",
  status: "4.4.7",
  category: null,
};

function dsnInput(fields: Partial<DsnInput> = {}): DsnInput {
  return {
    kind: "failed",
    message: { ...message({ acceptedAt, subject: "hello" }), returnPath: address("anna@sender.example") },
    recipients: [{ recipient: address("ben@dest.example"), attempt: refused }],
    headerBlock: Buffer.from("From: anna@sender.example\r\nSubject: hello\r\n\r\n"),
    hostname: "mx.sender.example",
    mailerDaemon: { name: "Mail Delivery Subsystem", address: "mailer-daemon@mx.sender.example" },
    now: Date.UTC(2026, 10, 20, 10, 6, 0) as EpochMs,
    unique: "01abcdef",
    retryUntil: null,
    ...fields,
  };
}

interface Part {
  headers: [string, string][];
  type: string;
  params: Record<string, string>;
  defects: string[];
  parts: Part[];
  content: string | null;
}

const skip = pythonLacks("email");

/** What Python's parser makes of the report. */
function parsed(input: DsnInput): Part {
  return runPython("parse-mail.py", { message: composeDsn(input).toString("base64") }) as Part;
}

function value(part: Part | undefined, name: string): string | undefined {
  return part?.headers
    .find(([other]) => other.toLowerCase() === name.toLowerCase())?.[1]
    .replaceAll(/\r?\n/g, "");
}

describe("a DSN, read by Python's email package", () => {
  test("is a report of three parts with no defect", { skip }, () => {
    const report = parsed(dsnInput());
    assert.equal(report.type, "multipart/report");
    assert.equal(report.params["report-type"], "delivery-status");
    assert.deepEqual(
      report.parts.map((part) => part.type),
      ["text/plain", "message/delivery-status", "text/rfc822-headers"],
    );
    assert.deepEqual(
      [report, ...report.parts].flatMap((part) => part.defects),
      [],
    );
    assert.equal(value(report, "From"), "Mail Delivery Subsystem <mailer-daemon@mx.sender.example>");
    assert.equal(value(report, "To"), "anna@sender.example");
    assert.equal(value(report, "Subject"), "Delivery Status Notification (Failure)");
    assert.equal(value(report, "Auto-Submitted"), "auto-replied");
    assert.equal(value(report, "X-Failed-Recipients"), "ben@dest.example");
    assert.equal(value(report, "In-Reply-To"), "<id@sender.example>");
    assert.equal(value(report, "References"), "<id@sender.example>");
    assert.equal(value(report, "Message-ID"), "<01abcdef@mx.sender.example>");
    assert.equal(value(report, "Date"), "Fri, 20 Nov 2026 10:06:00 +0000");
    assert.equal(report.parts[2]?.content, "From: anna@sender.example\r\nSubject: hello\r\n");
  });

  test("tells of each recipient in a group of its own, each with its own status", { skip }, () => {
    const input = dsnInput({
      recipients: [
        { recipient: address("ben@dest.example"), attempt: refused },
        { recipient: address("carl@other.example"), attempt: expired },
      ],
    });
    const report = parsed(input);
    const [about, ben, carl, none] = report.parts[1]?.parts ?? [];
    assert.equal(none, undefined);
    assert.equal(value(about, "Reporting-MTA"), "dns; mx.sender.example");
    assert.equal(value(about, "Arrival-Date"), "Fri, 20 Nov 2026 10:00:00 +0000");
    assert.deepEqual(ben?.headers, [
      ["Final-Recipient", "rfc822; ben@dest.example"],
      ["Action", "failed"],
      ["Status", "5.1.1"],
      ["Remote-MTA", "dns; mx1.dest.example"],
      ["Diagnostic-Code", "smtp; 550 5.1.1 No such user"],
      ["Last-Attempt-Date", "Fri, 20 Nov 2026 10:05:00 +0000"],
    ]);
    assert.equal(value(carl, "Final-Recipient"), "rfc822; carl@other.example");
    assert.equal(value(carl, "Status"), "4.4.7");
    assert.equal(value(carl, "Diagnostic-Code"), "X-ZoneFleet; in the queue for 5 days");
    assert.equal(value(carl, "Remote-MTA"), undefined, "no peer spoke");
    assert.equal(value(report, "X-Failed-Recipients"), "ben@dest.example, carl@other.example");
  });

  test("says in plain words what happened, what it means and what to do", { skip }, () => {
    const text = (parsed(dsnInput()).parts[0]?.content ?? "").replaceAll(/\s+/g, " ");
    assert.match(
      text,
      /could not be delivered .* ben@dest\.example mx1\.dest\.example said: 550 5\.1\.1 No such user /,
    );
    assert.match(text, /There is no such mailbox.* Check the address/);
    assert.match(text, /Subject: hello Message-ID: <id@sender\.example>/);
  });

  test("of a delay says so, with a transient status and the time of giving up", { skip }, () => {
    const slow: AttemptRecord = {
      ...refused,
      kind: "deferred",
      status: "4.2.2",
      reply: { code: 452, enhanced: "4.2.2", text: "full" },
    };
    const input = dsnInput({
      kind: "delayed",
      recipients: [{ recipient: address("ben@dest.example"), attempt: slow }],
      retryUntil: Date.UTC(2026, 10, 25, 10, 0, 0) as EpochMs,
    });
    const report = parsed(input);
    const group = report.parts[1]?.parts[1];
    assert.equal(value(report, "Subject"), "Delivery Status Notification (Delay)");
    assert.equal(value(report, "X-Failed-Recipients"), undefined);
    assert.equal(value(group, "Action"), "delayed");
    assert.equal(value(group, "Status"), "4.2.2");
    assert.equal(value(group, "Will-Retry-Until"), "Wed, 25 Nov 2026 10:00:00 +0000");
    assert.match(report.parts[0]?.content ?? "", /need not send it again/);
  });

  test("carries addresses that are not ASCII in the types of RFC 6533", { skip }, () => {
    const recipient = address("j\u{f5}geva@dest.example");
    const input = dsnInput({
      recipients: [
        { recipient, attempt: { ...refused, reply: { code: 550, enhanced: "5.1.1", text: "n\u{e3}o" } } },
      ],
      headerBlock: Buffer.from("To: j\u{f5}geva@dest.example\r\n\r\n"),
    });
    const report = parsed(input);
    assert.deepEqual(
      report.parts.map((part) => part.type),
      ["text/plain", "message/global-delivery-status", "message/global-headers"],
    );
    const bytes = composeDsn(input).toString();
    assert.match(bytes, /\r\nFinal-Recipient: utf-8; j\u{f5}geva@dest\.example\r\n/u);
    assert.match(bytes, /\r\nDiagnostic-Code: smtp; 550 5\.1\.1 n\u{e3}o\r\n/u);
    assert.match(bytes, /\r\nTo: j\u{f5}geva@dest\.example\r\n/u);
    assert.match(report.parts[0]?.content ?? "", /j\u{f5}geva@dest\.example/u);
    const top = bytes.slice(0, bytes.indexOf("\r\n\r\n"));
    assert.match(top, /^[\t\r\n -~]*$/, "an ASCII return path needs no SMTPUTF8 for its report");
  });

  test("returns headers that are not clean ASCII in quoted-printable, unchanged", { skip }, () => {
    for (const block of ["Subject: caf\u{e9}\r\n", `X: ${"y".repeat(2_000)}\r\n`, "X: a\0b\r\n"]) {
      const input = dsnInput({ headerBlock: Buffer.from(`${block}\r\n`) });
      const part = parsed(input).parts[2];
      assert.equal(part?.type, "text/rfc822-headers");
      assert.equal(value(part, "Content-Transfer-Encoding"), "quoted-printable");
      assert.equal(part?.content, block);
      assert.match(composeDsn(input).toString("latin1"), /^[\t\r\n -~]*$/);
    }
  });
});

describe("a DSN", () => {
  const headOf = (input: DsnInput): ReturnType<typeof parseHeaders> => parseHeaders(composeDsn(input));

  test("returns no more than 64 KiB of headers, whole lines", () => {
    const line = `X-Filler: ${"y".repeat(88)}\r\n`;
    const report = composeDsn(dsnInput({ headerBlock: Buffer.from(`${line.repeat(2_000)}\r\n`) })).toString();
    assert.equal(report.split(line).length - 1, Math.floor(65_536 / line.length));
    assert.ok(report.length < 68_000);
  });

  test("has a boundary that no returned header can hold", () => {
    const forged = "--=_report_01abcdef\r\n--=_report_1_01abcdef--\r\n";
    const report = composeDsn(dsnInput({ headerBlock: Buffer.from(`X: y\r\n${forged}\r\n`) })).toString();
    assert.match(report, /boundary="=_report_2_01abcdef"/);
    assert.ok(report.includes(forged));
    assert.ok(report.endsWith("\r\n--=_report_2_01abcdef--\r\n"));
  });

  test("of a failure never claims success, and of a delay never a failure", () => {
    const status = (input: Partial<AttemptRecord>, kind: DsnInput["kind"]): string | undefined => {
      const recipients = [{ recipient: address("ben@dest.example"), attempt: { ...refused, ...input } }];
      return /^Status: (.*)\r$/m.exec(composeDsn(dsnInput({ kind, recipients })).toString())?.[1];
    };
    assert.equal(status({ status: "2.0.0" }, "failed"), "5.0.0");
    assert.equal(status({ status: "nonsense" }, "failed"), "5.0.0");
    assert.equal(status({ status: "5.7.1" }, "delayed"), "4.7.1");
    assert.equal(status({ status: "nonsense" }, "delayed"), "4.0.0");
  });

  test("refers to the original only by a proper Message-ID", () => {
    for (const messageIdHeader of [
      "no brackets",
      "<a b>",
      `<${"x".repeat(400)}@y>`,
      "<\u{e4}@y>",
      "<a>\r\nX: y",
    ]) {
      const input = dsnInput();
      const head = headOf({ ...input, message: { ...input.message, messageIdHeader } });
      assert.equal(firstValue(head, "in-reply-to"), null);
      assert.equal(firstValue(head, "x"), null);
    }
  });

  test("names its daemon as mail wants it", () => {
    const from = (name: string): string | null =>
      firstValue(headOf(dsnInput({ mailerDaemon: { name, address: "md@x.example" } })), "from");
    assert.equal(from(""), "md@x.example");
    assert.equal(from('Mail, "Inc." (x)'), String.raw`"Mail, \"Inc.\" (x)" <md@x.example>`);
    assert.equal(from("B\u{fc}ro"), "=?utf-8?B?QsO8cm8=?= <md@x.example>");
  });

  test("to a return path that is not ASCII may say all in UTF-8", () => {
    const input = dsnInput();
    const recipients = [{ recipient: address("\u{fc}@dest.example"), attempt: refused }];
    const head = headOf({
      ...input,
      recipients,
      message: { ...input.message, returnPath: address("\u{e4}@sender.example") },
    });
    assert.equal(firstValue(head, "to"), "\u{e4}@sender.example");
    assert.equal(firstValue(head, "x-failed-recipients"), "\u{fc}@dest.example");
  });

  test("has something to say about every category and cause", () => {
    const textFor = (fields: Partial<AttemptRecord>): string => {
      const recipients = [{ recipient: address("ben@dest.example"), attempt: { ...refused, ...fields } }];
      const said = composeDsn(dsnInput({ recipients })).toString();
      return said.slice(said.indexOf("said: 550"), said.indexOf("About your message"));
    };
    for (const category of BOUNCE_CATEGORIES satisfies readonly BounceCategory[]) {
      assert.ok(textFor({ category }).split("\r\n").length >= 4, category);
    }
    assert.match(textFor({ cause: "too-large" }), /larger/);
    assert.match(textFor({ cause: "suppressed", category: "spam" }), /do not send to this address/);
  });
});
