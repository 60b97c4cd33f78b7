/** The whole relay on a disk that fills up and is cleared again: mail is refused meanwhile, and what was taken is delivered once. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, readdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { KIB, MIB, SECOND } from "#shared/domain/units.ts";
import { DEFAULT_RESERVE_BYTES } from "#shared/embedded/disk-space.ts";
import type { Verdict } from "../../sender/sandbox/behaviour.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { allFinal, messageView } from "../support/relay-api.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const TIMEOUT_MS = 90 * SECOND;
const PATIENCE_MS = 20 * SECOND;
const DISK_BYTES = 160 * MIB;
/** The reserve, in which only what is queued is worked off, and a little to take mail in. */
const LEFT_BYTES = DEFAULT_RESERVE_BYTES + 3 * MIB;
const MAIL_BYTES = 50 * KIB;
const LARGE_BYTES = 8 * MIB;
/** More than fit. */
const ENOUGH = 200;
const NOT_NOW: Verdict = { do: "reply", code: 451, text: "4.3.0 not now" };

const NO_SPACE = /^(?:451 4\.3\.0|452 4\.3\.1) /;

/** Submit a mail of that size and return the reply to its end. */
async function submit(relay: RelayProcess, recipient: string, bytes: number): Promise<string> {
  using talker = await SmtpTalker.ready(relay.smtpPort);
  await talker.sayAll("MAIL FROM:<sender@origin.test>", `RCPT TO:<${recipient}>`, "DATA");
  talker.write("Subject: fill\r\n\r\n");
  const line = `${"x".repeat(1_022)}\r\n`;
  for (let sent = 0; sent < bytes; sent += MIB)
    await talker.writeAll(line.repeat(Math.ceil(Math.min(MIB, bytes - sent) / KIB)));
  return (await talker.say(".")).text;
}

async function submitByHttp({ httpUrl }: RelayProcess): Promise<{ status: number; text: string }> {
  const body = {
    from: "sender@origin.test",
    to: "http@probe.test",
    subject: "fill",
    text: "x".repeat(MAIL_BYTES),
  };
  const response = await fetch(`${httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

/** Put a file beside the data folder that leaves so much of the disk free. */
async function ballast(disk: string, leftBytes: number): Promise<string> {
  const path = join(disk, `ballast-${leftBytes}`);
  const { bavail, bsize } = await statfs(disk);
  const bytes = Buffer.alloc(Math.max(0, bavail * bsize - leftBytes));
  await writeFile(path, bytes).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOSPC") throw error; // the relay wrote meanwhile: the disk is as full as it was to be
  });
  return path;
}

test(
  "a relay on a full disk refuses mail for now, stays up, and takes mail again when there is room",
  { timeout: TIMEOUT_MS },
  async (t) => {
    await using scratch = await scratchFolder();
    const disk = scratch.folder;
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", disk]);
    if (mounted.status !== 0) return t.skip("only root may mount a small disk");
    try {
      await mkdir(scratch.data);
      await using mx = await startFakeMx({ rules: { recipient: () => NOT_NOW } });
      const zone = { host: "127.0.0.1", port: mx.port, deferTimes: Array.from({ length: 60 }, () => SECOND) };
      await using relay = await startRelayProcess({
        scratch,
        config: { zones: { default: zone, bounces: zone } },
      });
      const files = [await ballast(disk, LEFT_BYTES)];

      const acknowledged = new Map<string, string>();
      const refusals: string[] = [];
      /** Until the relay has refused so many more; what it takes on the way it has to deliver. */
      const fill = async (name: string, bytes: number, wanted: number): Promise<void> => {
        const enough = refusals.length + wanted;
        for (let number = 0; refusals.length < enough && number < ENOUGH; number++) {
          const recipient = `${name}${number}@probe.test`;
          const reply = await submit(relay, recipient, bytes);
          const [, id] = /^250 2\.0\.0 .*queued as (\w+)/.exec(reply) ?? [];
          if (id === undefined) refusals.push(reply);
          else acknowledged.set(recipient, id);
        }
      };
      await fill("r", MAIL_BYTES, 5);
      t.diagnostic(`${acknowledged.size} mails taken, then: ${[...new Set(refusals)].join(" | ")}`);
      assert.equal(refusals.length, 5);
      for (const reply of refusals) assert.match(reply, NO_SPACE);
      assert.match(
        await submit(relay, "large@probe.test", LARGE_BYTES),
        NO_SPACE,
        "and a mail that would be a file",
      );
      files.push(await ballast(disk, 0));
      await fill("small", KIB, 1); // pages that are free inside the store may still take some
      assert.match(refusals.at(-1) ?? "", NO_SPACE, "and when the reserve is gone too");
      const http = await submitByHttp(relay);
      assert.equal(http.status, 503, http.text);
      t.diagnostic(`by HTTP: ${http.text}`);
      assert.equal(relay.workersEver(), 2, "no worker died of it");

      for (const file of files) await rm(file);
      delete mx.rules.recipient;
      const late = await eventually("room for a mail", PATIENCE_MS, async () => {
        const reply = await submit(relay, "late@probe.test", MAIL_BYTES);
        return reply.startsWith("250") ? reply : null;
      });
      acknowledged.set("late@probe.test", /queued as (\w+)/.exec(late)?.[1] ?? "");
      await allFinal(relay.httpUrl, PATIENCE_MS);
      for (const [recipient, id] of acknowledged) {
        const rows = (await messageView(relay.httpUrl, id))?.messages;
        assert.deepEqual(
          rows?.map(({ status }) => status),
          ["DELIVERED"],
          recipient,
        );
      }
      const got = mx.mails.flatMap(({ recipients }) => recipients).toSorted();
      assert.deepEqual(got, [...acknowledged.keys()].toSorted(), "each once, and nothing that was refused");
      assert.deepEqual(await readdir(join(scratch.data, "bodies", "incoming")).catch(() => []), []);
      assert.equal(relay.workersEver(), 2);
    } finally {
      spawnSync("umount", [disk]);
    }
  },
);
