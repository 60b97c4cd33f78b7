import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const MAIN = join(import.meta.dirname, "../../../bench/main.ts");

for (const [command, mistake] of [
  ["relay --size x", "--size is a number above 0, and not x"],
  ["relay --size 5,", "--size is a number above 0, and not "],
  ["cost --messages -1", ""],
  ["rates --seconds 0", "--seconds is a number above 0, and not 0"],
  ["relay --nonsense", "Unknown option '--nonsense'"],
  ["nonsense", ""],
] as const) {
  test(`bench ${command} measures nothing, and says how it is called`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...command.split(" ")], {
      encoding: "utf8",
      timeout: 30_000,
    });
    assert.deepEqual([status, stdout], [1, ""]);
    assert.ok(stderr.startsWith(mistake), stderr);
    assert.match(stderr, /npm run bench -- relay \[options\]/);
    assert.doesNotMatch(stderr, /\n {4}at /);
  });
}
