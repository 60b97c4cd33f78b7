/** The sandbox over real sockets: what it takes, how it keeps it, and that size does not matter to it. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { KIB, MIB } from "#shared/domain/units.ts";

import { startSandbox } from "../../sender/sandbox/start-sandbox.ts";
import type { Sandbox, SandboxOptions } from "../../sender/sandbox/start-sandbox.ts";
import { fakeClock } from "../support/fake-clock.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const MAIL = "Subject: hello\r\n\r\n..dot\r\nbye\r\n";

let root = "";
before(async () => {
  root = await mkdtemp(join(tmpdir(), "zonefleet-sandbox-"));
});
after(() => rm(root, { recursive: true }));

const quiet = { info: () => undefined, error: () => undefined };

async function sandbox(fields: Partial<SandboxOptions> = {}): Promise<Sandbox & AsyncDisposable> {
  const clock = fakeClock();
  const options = { host: "127.0.0.1", port: 0, folder: null, clock, log: quiet, ...fields };
  const started = await startSandbox(options);
  return Object.assign(started, { [Symbol.asyncDispose]: () => started.close() });
}

async function send(talker: SmtpTalker, recipients: readonly string[], content = MAIL) {
  assert.equal((await talker.say("MAIL FROM:<a@one.example>")).code, 250);
  for (const recipient of recipients) assert.equal((await talker.say(`RCPT TO:<${recipient}>`)).code, 250);
  assert.equal((await talker.say("DATA")).code, 354);
  return talker.say(`${content}.`);
}

describe("a mail that the sandbox takes", { timeout: 30_000 }, () => {
  test("is remembered with envelope, size and hash, and told in one line of the log", async () => {
    const lines: object[] = [];
    await using receiver = await sandbox({ log: { ...quiet, info: (fields) => lines.push(fields) } });
    using talker = await SmtpTalker.ready(receiver.port);
    const reply = await send(talker, ["b@two.example", "C@XN--NXASMQ6B.example"]);
    assert.equal(reply.text, "250 2.0.0 Taken by the sandbox");
    const [mail, ...others] = receiver.received();
    assert.ok(mail);
    assert.equal(others.length, 0);
    const bytes = MAIL.replace("..", ".");
    assert.equal(mail.returnPath, "a@one.example");
    assert.deepEqual(mail.recipients, ["b@two.example", "C@xn--nxasmq6b.example"]);
    assert.equal(mail.size, bytes.length);
    assert.equal(mail.sha256, createHash("sha256").update(bytes).digest("hex"));
    assert.equal(mail.peer.ip, "127.0.0.1");
    assert.equal(mail.peer.helo, "client.example");
    assert.equal(mail.file, null);
    assert.equal(lines.length, 1);
    assert.doesNotMatch(JSON.stringify(lines), /two\.example|one\.example/, "no addresses in the log");
  });

  test("is kept as a file with its envelope beside it, under a name that is safe", async () => {
    const folder = join(root, "kept");
    await using receiver = await sandbox({ folder });
    using talker = await SmtpTalker.ready(receiver.port);
    await send(talker, ["/etc/passwd|*?x@two.example", "b@two.example"]);
    const names = (await readdir(folder)).toSorted();
    assert.equal(names.length, 2);
    const [eml = "", json = ""] = names;
    assert.match(eml, /^20260102T030405000Z-[0-9a-f]{6}-_etc_passwd___x@two\.example\.eml$/);
    assert.equal(receiver.received()[0]?.file, eml);
    assert.equal(await readFile(join(folder, eml), "utf8"), MAIL.replace("..", "."));
    const envelope: unknown = JSON.parse(await readFile(join(folder, json), "utf8"));
    assert.partialDeepStrictEqual(envelope, { returnPath: "a@one.example", size: MAIL.length - 1 });
  });

  test("is not kept when it was refused or its sender left, and leaves no file behind", async () => {
    const folder = join(root, "refused");
    await using receiver = await sandbox({ folder });
    using talker = await SmtpTalker.ready(receiver.port);
    assert.equal(
      (await send(talker, ["550-data@two.example"])).text,
      "550 5.7.1 Message refused by content filter",
    );
    assert.equal((await send(talker, ["b@two.example"])).code, 250, "the session goes on");
    using quitter = await SmtpTalker.ready(receiver.port);
    await quitter.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA");
    await quitter.writeAll(MAIL);
    quitter.destroy();
    // the folder is looked at until the file of the quitter is gone
    for (;;) {
      const names = await readdir(folder);
      if (receiver.counts.open === 1 && !names.some((name) => name.endsWith(".part"))) break;
    }
    assert.equal((await readdir(folder)).length, 2);
    assert.equal(receiver.received().length, 1);
  });

  test("may go to 1,000 recipients in one transaction", async () => {
    await using receiver = await sandbox();
    using talker = await SmtpTalker.ready(receiver.port);
    const recipients = Array.from({ length: 1_000 }, (_, i) => `user${i}@two.example`);
    talker.write(["MAIL FROM:<>", ...recipients.map((to) => `RCPT TO:<${to}>`), "DATA", ""].join("\r\n"));
    for (let i = 0; i < 1_001; i++) assert.equal((await talker.reply()).code, 250);
    assert.equal((await talker.reply()).code, 354);
    assert.equal((await talker.say(`${MAIL}.`)).code, 250);
    assert.deepEqual(receiver.received()[0]?.recipients, recipients);
    assert.equal(receiver.received()[0]?.returnPath, null);
  });
});

describe("a large mail", { timeout: 60_000 }, () => {
  const LINE = `${"x".repeat(98)}\r\n`;
  const CHUNK = Buffer.from(LINE.repeat(655)); // near 64 KiB

  async function sendLarge(talker: SmtpTalker, chunks: number): Promise<{ code: number; sha256: string }> {
    const hash = createHash("sha256");
    await talker.sayAll("MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA");
    for (let i = 0; i < chunks; i++) {
      hash.update(CHUNK);
      await talker.writeAll(CHUNK);
    }
    return { code: (await talker.say(".")).code, sha256: hash.digest("hex") };
  }

  test("of 200 MB passes in flat memory and whole, and is not kept when it is over the limit", async () => {
    const folder = join(root, "large");
    await using receiver = await sandbox({ folder });
    using talker = await SmtpTalker.ready(receiver.port);
    await sendLarge(talker, 16); // so that what is loaded and allocated once is there
    const before = process.memoryUsage();
    const chunks = Math.ceil((200 * MIB) / CHUNK.length);
    const sent = await sendLarge(talker, chunks);
    const now = process.memoryUsage();
    assert.equal(sent.code, 250);
    const mail = receiver.received()[1];
    assert.equal(mail?.size, chunks * CHUNK.length);
    assert.equal(mail?.sha256, sent.sha256);
    assert.equal(mail?.file, null);
    const grown = now.heapUsed + now.external - before.heapUsed - before.external;
    assert.ok(grown < 60 * MIB, `${Math.round(grown / MIB)} MiB more`);
    assert.equal((await readdir(folder)).length, 2, "the small one and its envelope");
  });

  test("and many mails keep the folder within its bounds: the oldest go", async () => {
    const folder = join(root, "bounded");
    const folderLimits = { maxMails: 5, maxBytes: 300 * KIB, maxMailBytes: 200 * KIB };
    await using receiver = await sandbox({ folder, folderLimits });
    using talker = await SmtpTalker.ready(receiver.port);
    for (let i = 0; i < 8; i++) await send(talker, [`small${i}@two.example`]);
    const small = (await readdir(folder)).filter((name) => name.endsWith(".eml"));
    assert.equal(small.length, 5);
    for (let i = 0; i < 3; i++) assert.equal((await sendLarge(talker, 2)).code, 250);
    const files = await readdir(folder);
    assert.equal(files.filter((name) => name.endsWith(".eml")).length, 2, "two of 131 KB are within 300 KiB");
    assert.equal(files.length, 4, "envelopes go with their mails");
  });
});

describe("the folder", { timeout: 30_000 }, () => {
  test("of an earlier run counts, and what that left unfinished is cleared away", async () => {
    const folder = join(root, "again");
    const folderLimits = { maxMails: 1, maxBytes: MIB, maxMailBytes: MIB };
    {
      await using receiver = await sandbox({ folder, folderLimits });
      using talker = await SmtpTalker.ready(receiver.port);
      await send(talker, ["first@two.example"]);
    }
    await writeFile(join(folder, "0123.part"), "half a mail");
    const later = fakeClock(Date.UTC(2027, 0, 1));
    await using receiver = await sandbox({ folder, folderLimits, clock: later });
    using talker = await SmtpTalker.ready(receiver.port);
    await send(talker, ["second@two.example"]);
    const names = (await readdir(folder)).toSorted();
    assert.equal(names.length, 2);
    assert.ok(names.every((name) => name.includes("second@")));
  });

  test("that cannot be written any more is 451 for the mail, and the session goes on", async () => {
    const folder = join(root, "gone");
    const errors: object[] = [];
    await using receiver = await sandbox({
      folder,
      log: { ...quiet, error: (fields) => errors.push(fields) },
    });
    using talker = await SmtpTalker.ready(receiver.port);
    await rm(folder, { recursive: true });
    assert.match((await send(talker, ["b@two.example"])).text, /^451 4\.3\.0 /);
    assert.match((await send(talker, ["b@two.example"])).text, /^451 4\.3\.0 /);
    assert.equal(receiver.received().length, 0);
    assert.equal(errors.length, 2);
  });

  test("that is a file, or a port that is taken, ends the start with a message", async () => {
    const file = join(root, "file");
    await writeFile(file, "");
    await assert.rejects(sandbox({ folder: file }), /EEXIST|ENOTDIR/);
    await using receiver = await sandbox();
    await assert.rejects(sandbox({ port: receiver.port }), new RegExp(`127\\.0\\.0\\.1:${receiver.port}`));
  });
});
