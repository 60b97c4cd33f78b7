/** What a log line has and what it never has. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { createLog } from "#shared/runtime/log.ts";

function logTo(lines: string[], level = "info") {
  return createLog(
    { level, fields: { component: "test" } },
    { write: (line: string) => void lines.push(line) },
  );
}

test("a line is JSON with its time, its level by name, its phrase and its fields", () => {
  const lines: string[] = [];
  logTo(lines).info({ zone: "default" }, "delivery deferred");
  const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  const { time, ...rest } = line;
  assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000);
  assert.deepEqual(rest, {
    level: "info",
    pid: process.pid,
    component: "test",
    zone: "default",
    msg: "delivery deferred",
  });
});

test("passwords and keys are not written, wherever they stand in the first three levels", () => {
  const lines: string[] = [];
  const log = logTo(lines);
  log.info({ pass: "hunter2", user: "anna" }, "one");
  log.warn({ auth: { pass: "hunter2", user: "anna" } }, "two");
  log.error({ relay: { auth: { password: "hunter2" } }, tls: { key: "hunter2" } }, "three");
  log
    .child({ headers: { authorization: "Bearer hunter2" } })
    .info({ dkim: { privateKey: "hunter2" } }, "four");
  assert.equal(lines.length, 4);
  for (const line of lines) {
    assert.ok(!line.includes("hunter2"), line);
    assert.ok(line.includes("[redacted]"), line);
  }
  assert.ok(lines[0]?.includes("anna"));
});

test("an error is written with its message, stack and cause", () => {
  const lines: string[] = [];
  logTo(lines).error({ err: new Error("outer", { cause: new Error("inner") }) }, "store failed");
  const { err } = JSON.parse(lines[0] ?? "") as { err: { message: string; stack: string } };
  assert.equal(err.message, "outer: inner");
  assert.match(err.stack, /log\.test\.ts/);
});

test("what is below the level is not written", () => {
  const lines: string[] = [];
  const log = logTo(lines, "warn");
  log.info("no");
  log.warn("yes");
  assert.equal(lines.length, 1);
});
