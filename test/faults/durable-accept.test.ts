/** What the kernel saw: an accepted mail was synced to the disk before anyone was told that it is accepted. */

import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { SECOND } from "#shared/domain/units.ts";

const TIMEOUT_MS = 60 * SECOND;
const WORKER = join(import.meta.dirname, "../support/accept-worker.ts");
const TEXT = "zonefleet-durability-probe ";

/** Calls in the order they began; one that is resumed later counts where it ended. */
async function callsOfAccept(times: number): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "zonefleet-durable-"));
  try {
    const trace = join(folder, "trace");
    const calls = "trace=write,writev,pwrite64,pwritev,fdatasync,fsync,msync,rename,renameat,renameat2";
    await promisify(execFile)(
      "strace",
      // -y names the files behind descriptors, -s shows enough of a write to find the text in it
      ["-f", "-y", "-s", "16384", "-e", calls, "-o", trace].concat([
        process.execPath,
        WORKER,
        join(folder, "data"),
        TEXT,
        String(times),
      ]),
      { timeout: TIMEOUT_MS },
    );
    return (await readFile(trace, "utf8")).split("\n");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Index of the first line after `from` that has all the words. */
function find(lines: readonly string[], from: number, words: readonly string[]): number {
  const index = lines.findIndex((line, i) => i > from && words.every((word) => line.includes(word)));
  assert.ok(index > from, `no line with ${words.join(" and ")} after line ${from}`);
  return index;
}

/** Where a sync of the file that begins after `from` has ended well. */
function endOfSync(lines: readonly string[], from: number, call: string, file: string): number {
  const begin = find(lines, from, [`${call}(`, file]);
  const line = lines[begin] ?? "";
  if (!line.includes("<unfinished")) {
    assert.match(line, /= 0$/);
    return begin;
  }
  const thread = /^\d+/.exec(line)?.[0] ?? "";
  const end = find(lines, begin, [`${thread} `, `<... ${call} resumed>`]);
  assert.match(lines[end] ?? "", /= 0$/);
  return end;
}

const skip = spawnSync("strace", ["-V"]).error ? "strace is not installed" : false;

test(
  "a small mail is synced, body and rows together, before it is said to be accepted",
  { skip, timeout: TIMEOUT_MS },
  async () => {
    const lines = await callsOfAccept(10);
    const begin = find(lines, -1, ["write(1", "BEGIN"]);
    const body = find(lines, begin, ["store.mdb", TEXT]);
    const row = find(lines, begin, ["store.mdb", "rcpt1@one.example"]);
    const synced = endOfSync(lines, Math.max(body, row), "fdatasync", "store.mdb");
    const accepted = find(lines, begin, ["write(1", "ACCEPTED"]);
    assert.ok(synced < accepted, `synced in line ${synced}, told in line ${accepted}`);
    const syncs = lines.slice(begin, accepted).filter((line) => line.includes("fdatasync("));
    assert.equal(syncs.length, 1, "one sync for body, message, row and event");
  },
);

test(
  "a large mail's file is synced, then named, then its folder synced, before it is said to be accepted",
  { skip, timeout: TIMEOUT_MS },
  async () => {
    const lines = await callsOfAccept(20_000);
    const begin = find(lines, -1, ["write(1", "BEGIN"]);
    const body = find(lines, begin, ["bodies/incoming/", TEXT]);
    const file = endOfSync(lines, body, "fsync", "bodies/incoming/");
    const named = find(lines, file, ["rename", "bodies/incoming/"]);
    const folder = endOfSync(lines, named, "fsync", "/bodies/");
    const row = find(lines, folder, ["store.mdb", "rcpt1@one.example"]);
    const synced = endOfSync(lines, row, "fdatasync", "store.mdb");
    const accepted = find(lines, begin, ["write(1", "ACCEPTED"]);
    assert.ok(synced < accepted, `synced in line ${synced}, told in line ${accepted}`);
  },
);
