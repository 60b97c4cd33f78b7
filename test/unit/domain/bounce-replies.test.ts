import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { checkBounce } from "#shared/app/check-bounce.ts";
import { classify } from "#shared/domain/bounce-class.ts";

/** `## provider` headings, and under each `action category | reply`. */
function corpus(): Map<string, { expected: string; reply: string }[]> {
  const file = new URL("../../data/bounce-replies.txt", import.meta.url);
  const byProvider = new Map<string, { expected: string; reply: string }[]>();
  let provider = "";
  for (const line of readFileSync(file, "utf8").split("\n")) {
    if (line.startsWith("## ")) byProvider.set((provider = line.slice(3)), []);
    if (line.startsWith("#") || line.trim() === "") continue;
    const at = line.indexOf(" | ");
    const reply = line.slice(at + 3).replaceAll(String.raw`\n`, "\n");
    byProvider.get(provider)?.push({ expected: line.slice(0, at), reply });
  }
  return byProvider;
}

describe("each reply that a provider gives is judged as a postmaster would", () => {
  for (const [provider, replies] of corpus()) {
    test(`${provider}: ${replies.length} replies`, () => {
      const wrong = replies.flatMap(({ expected, reply }) => {
        const found = checkBounce(reply, classify);
        const verdict = `${found?.action} ${found?.category}`;
        return verdict === expected ? [] : [`${verdict} (${found?.rule}), not ${expected}: ${reply}`];
      });
      assert.deepEqual(wrong, []);
      assert.ok(replies.length > 0);
    });
  }
});
