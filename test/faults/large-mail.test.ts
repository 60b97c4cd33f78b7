/**
 * A message that is larger than memory should ever hold, from an SMTP client through both ends of the relay to the receiver:
 * 256 MiB in the suite, any size by `FAULT_LARGE_MIB=1024`.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { test } from "node:test";

import { GIB, MIB, SECOND } from "#shared/domain/units.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { allFinal, messageView } from "../support/relay-api.ts";
import { eventually, peakMemoryBytes, scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const MESSAGE_MIB = Number(process.env["FAULT_LARGE_MIB"] ?? 256);
/** For 256 MiB on a busy machine, and as much again for each other 256. */
const TIMEOUT_MS = 90 * SECOND * Math.ceil(MESSAGE_MIB / 256);
/** A worker that has taken nothing has about 110 MiB. */
const MAX_WORKER_BYTES = 300 * MIB;
const LINES_PER_MIB = 1_024;

const HEADERS = "Subject: large\r\nMessage-ID: <large@origin.test>\r\n\r\n";
/** Each line begins with a dot, which goes over the wire as two. */
const LINE = `.${"x".repeat(1_021)}\r\n`;

/** Returns the message id. */
async function submitLarge(smtpPort: number): Promise<string> {
  using talker = await SmtpTalker.ready(smtpPort);
  await talker.sayAll("MAIL FROM:<sender@origin.test>", "RCPT TO:<large@probe.test>", "DATA");
  talker.write(HEADERS);
  const stuffed = Buffer.from(`.${LINE}`.repeat(LINES_PER_MIB));
  for (let part = 0; part < MESSAGE_MIB; part++) await talker.writeAll(stuffed);
  talker.write(".\r\n");
  const { text } = await eventually("the reply", TIMEOUT_MS, () => talker.reply().catch(() => null));
  const [, id] = /queued as (\w+)/.exec(text) ?? [];
  assert.ok(id, text);
  return id;
}

/** What the receiver should have: the message behind what was put in front of it. */
function hashBehind(added: Buffer): string {
  const hash = createHash("sha256").update(added).update(HEADERS);
  const part = Buffer.from(LINE.repeat(LINES_PER_MIB));
  for (let count = 0; count < MESSAGE_MIB; count++) hash.update(part);
  return hash.digest("hex");
}

test(
  `a message of ${MESSAGE_MIB} MiB goes through with flat memory, unchanged`,
  { timeout: TIMEOUT_MS },
  async (t) => {
    const { bavail, bsize } = await statfs(tmpdir());
    if (bavail * bsize < 2 * MESSAGE_MIB * MIB)
      return t.skip("not enough room in the folder for temporary files");
    await using mx = await startFakeMx();
    await using scratch = await scratchFolder();
    const feeder = { host: "127.0.0.1", port: 0, maxSize: 2 * GIB };
    const zones = { default: { host: "127.0.0.1", port: mx.port } };
    const plugins = { "core/default-headers": { addMissing: [] } };
    const config = { smtpInterfaces: { feeder }, zones, plugins };
    await using relay = await startRelayProcess({ scratch, config });
    const startedAt = Date.now();
    const id = await submitLarge(relay.smtpPort);
    const takenMs = Date.now() - startedAt;
    await allFinal(relay.httpUrl, TIMEOUT_MS);
    const peaks = await Promise.all([...relay.workers().values()].map(peakMemoryBytes));
    const shown = peaks.map((bytes) =>
      bytes === null ? "not known here" : `${Math.round(bytes / MIB)} MiB`,
    );
    t.diagnostic(
      `taken in ${takenMs} ms, delivered in ${Date.now() - startedAt} ms; most memory of the workers: ${shown.join(", ")}`,
    );
    const row = (await messageView(relay.httpUrl, id))?.messages[0];
    assert.equal(row?.status, "DELIVERED", JSON.stringify(row));
    const [mail] = mx.mails;
    assert.ok(mail && mx.mails.length === 1);
    const added = mail.body.subarray(0, mail.body.indexOf(HEADERS));
    assert.match(added.toString(), /^Received: [^]*\r\n$/);
    assert.equal(mail.sha256, hashBehind(added), "nothing but Received was added");
    for (const bytes of peaks) assert.ok((bytes ?? 0) < MAX_WORKER_BYTES, shown.join(", "));
  },
);
