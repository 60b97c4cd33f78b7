import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { readBounceRules } from "#shared/runtime/bounce-rules-file.ts";
import { parseConfig } from "#shared/runtime/config.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "zonefleet-rules-"));
});
after(() => rm(folder, { recursive: true, force: true }));

async function fileOf(text: string, name = "bounces.txt"): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, text);
  return file;
}

const rulesOf = async (text: string, name?: string) => readBounceRules(await fileOf(text, name));

async function refusal(text: string, name?: string): Promise<string> {
  const file = await fileOf(text, name);
  try {
    readBounceRules(file);
  } catch (error) {
    assert.ok(error instanceof DomainError, String(error));
    return error.message;
  }
  throw new Error("was not refused");
}

describe("a file of ZoneMTA's lines", () => {
  test("has one rule a line, comments and empty lines apart; a message may have commas", async () => {
    const rules = await rulesOf(
      "# ours\r\n\r\n^451 .*busy,slowdown,rate,Busy, and more\n  bad words ,reject,spam,\n",
    );
    assert.deepEqual(
      rules.map(({ id, pattern, action, category, message }) => [id, pattern, action, category, message]),
      [
        ["bounces.txt:3", "^451 .*busy", "slowdown", "rate", "Busy, and more"],
        ["bounces.txt:4", "bad words ", "reject", "spam", "A rule of this mail system decided so."],
      ],
    );
  });

  test("is refused with every line that is wrong, and why", async () => {
    const message = await refusal("a,reject,spam,x\n(a,reject,spam,x\nb,rejct,spam,x\n\nc,defer,spm,x\nd\n");
    const lines = message
      .split("\n")
      .slice(1)
      .map((line) => line.trim());
    assert.equal(lines.length, 5, message);
    assert.match(lines[0] ?? "", /line 2.*"\(a" cannot be used: a \( is not closed/);
    assert.match(lines[1] ?? "", /line 3.*"rejct" is no action; did you mean reject\?/);
    assert.match(lines[2] ?? "", /line 5.*"spm" is no category; did you mean spam\?/);
    assert.match(lines[3] ?? "", /line 6.*the action is missing/);
  });

  test("may not be larger than a file of rules can be", async () => {
    assert.match(await refusal("a,reject,spam,x\n".repeat(2_001)), /more than 2000 rules/);
    assert.match(await refusal(`#${"x".repeat(1_048_576)}`), /larger than/);
  });

  test("that is not there is said to be missing", () => {
    assert.throws(() => readBounceRules(join(folder, "gone.txt")), /cannot read .*gone\.txt: no such file/);
  });
});

describe("a JSON file", () => {
  test("has rules with codes and statuses as well", async () => {
    const rules = await rulesOf(
      JSON.stringify([
        { pattern: "a{2,3}", action: "defer", category: "other" },
        {
          codes: [451],
          enhanced: ["4.7.1"],
          action: "slowdown",
          category: "rate",
          message: "m",
          status: "7.1",
        },
      ]),
      "rules.json",
    );
    assert.deepEqual(rules[0], {
      id: "rules.json[0]",
      pattern: "a{2,3}",
      codes: null,
      enhanced: null,
      action: "defer",
      category: "other",
      message: "A rule of this mail system decided so.",
      status: null,
    });
    assert.deepEqual([rules[1]?.codes, rules[1]?.enhanced, rules[1]?.status], [[451], ["4.7.1"], "7.1"]);
  });

  for (const [what, text, why] of [
    ["no JSON", "[{", /not JSON/],
    ["no list", "{}", /expected a list/],
    [
      "an unknown key",
      '[{"patern":"a","action":"defer","category":"other"}]',
      /\[0\]\.patern: unknown key; did you mean pattern/,
    ],
    [
      "an unknown action",
      '[{"pattern":"a","action":"drop","category":"other"}]',
      /\[0\]\.action: expected "reject" or/,
    ],
    ["no condition", '[{"action":"defer","category":"other"}]', /\[0\]: has no condition/],
    [
      "a pattern that is wrong",
      '[{"pattern":"(?=a)","action":"defer","category":"other"}]',
      /\[0\]\.pattern: .*looking ahead/,
    ],
    [
      "a status that is none",
      '[{"enhanced":["7.1"],"action":"defer","category":"other"}]',
      /\[0\]\.enhanced\[0\]: expected an enhanced/,
    ],
  ] as const) {
    test(`with ${what} is refused`, async () => {
      assert.match(await refusal(text, "rules.json"), why);
    });
  }
});

describe("bouncesFile in the configuration", () => {
  const parse = (bouncesFile: string) => parseConfig({ bouncesFile }, { source: "c.json", baseDir: folder });

  test("is a path from the configuration's folder, and its rules are part of the configuration", async () => {
    await fileOf("a,reject,spam,x\n", "own.txt");
    const { bounces } = parse("own.txt");
    assert.equal(bounces.rulesFile, join(folder, "own.txt"));
    assert.deepEqual(
      bounces.rules.map(({ id }) => id),
      ["own.txt:1"],
    );
  });

  test("is told of with the line when a rule is wrong", async () => {
    await fileOf("a,reject,spam,x\nb,reject,spm,x\n", "own.txt");
    assert.throws(() => parse("own.txt"), /bouncesFile: line 2: "spm" is no category/);
    assert.throws(() => parse("gone.txt"), /bouncesFile: cannot read/);
  });
});
