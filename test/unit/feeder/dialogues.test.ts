/**
 * Dialogues with the feeder, as data: test/data/dialogues/*.txt, each a session of its own.
 *
 * - `@ key value` a setting of the interface, as JSON; `@ account user password` an account
 * - `C: line` what the client sends, with CRLF; lines in a row go in one segment; `\xNN` is a byte
 * - `S: line` the next line of the server; a `*` at its end stands for any rest
 * - `X:` the server closes, and says nothing more
 * - `M: {…}` a message that was submitted, in order: the fields given are the same. A dialogue has one for each
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { describe, test } from "node:test";

import { putAccount } from "#shared/app/accounts.ts";
import type { SmtpInterface } from "#shared/domain/config.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import { collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";
import type { Collected } from "../../support/feeder-harness.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";

const FOLDER = new URL("../../data/dialogues/", import.meta.url);

interface Line {
  readonly kind: "@" | "C:" | "S:" | "X:" | "M:";
  readonly text: string;
}

function readDialogue(file: string): Line[] {
  return readFileSync(new URL(file, FOLDER), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const match = /^(@|[CSXM]:)(?: (.*))?$/.exec(line);
      assert.ok(match, `cannot read the line ${JSON.stringify(line)}`);
      return { kind: match[1] as Line["kind"], text: match[2] ?? "" };
    });
}

async function settingsOf(lines: readonly Line[], secrets: SecretStore): Promise<Partial<SmtpInterface>> {
  const settings: Record<string, unknown> = {};
  for (const { text } of lines.filter(({ kind }) => kind === "@")) {
    const [key = "", ...rest] = text.split(" ");
    if (key === "account") {
      const [user = "", password = "", ...senders] = rest;
      await putAccount({ secrets, randomBytes }, { user, password, ...(senders.length > 0 && { senders }) });
    } else {
      settings[key] = JSON.parse(rest.join(" "));
    }
  }
  return settings;
}

async function speak(talker: SmtpTalker, lines: readonly Line[]): Promise<void> {
  let segment = "";
  for (const { kind, text } of lines) {
    if (kind === "C:") {
      segment += `${text}\r\n`;
      continue;
    }
    if (segment !== "") talker.write(bytesOf(segment));
    segment = "";
    if (kind === "S:") assertLine(await talker.line(), text);
    if (kind === "X:") assert.equal(await talker.closed(), "");
  }
}

function bytesOf(text: string): Buffer {
  return Buffer.from(
    text.replaceAll(/\\x([0-9a-f]{2})/g, (_all, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    ),
    "latin1",
  );
}

function assertLine(line: string, expected: string): void {
  if (expected.endsWith("*"))
    assert.ok(line.startsWith(expected.slice(0, -1)), `${line} instead of ${expected}`);
  else assert.equal(line, expected);
}

function assertCollected(collected: readonly Collected[], lines: readonly Line[]): void {
  const expected = lines
    .filter(({ kind }) => kind === "M:")
    .map(({ text }) => JSON.parse(text) as Record<string, unknown>);
  assert.equal(collected.length, expected.length, "messages submitted");
  for (const [i, fields] of expected.entries()) {
    const mail = { ...collected[i] } as Record<string, unknown>;
    for (const [key, value] of Object.entries(fields)) assert.deepEqual(mail[key], value, key);
  }
}

describe("a dialogue with the feeder", () => {
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".txt"))) {
    test(file.replace(".txt", "").replaceAll("-", " "), async () => {
      const lines = readDialogue(file);
      const secrets = memorySecrets();
      const { submit, collected } = collectingSubmit();
      await using feeder = await testFeeder({ settings: await settingsOf(lines, secrets), submit, secrets });
      using talker = SmtpTalker.connect(feeder.port);
      await speak(talker, lines);
      assertCollected(collected, lines);
    });
  }
});
