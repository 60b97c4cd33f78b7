/** The documents name files of this checkout by their paths, or by the end of them: each has to be there. */

import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, matchesGlob } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const FOLDERS = ["bench", "cli", "docs", "infra", "lambdas", "sender", "shared", "test"];
const NAMED = new RegExp(
  `\`([\\w.*@/-]*\\w\\.(?:ts|js|mjs|cjs|sh|json|yml|md)|(?:[\\w-]+/)+|(?:${FOLDERS.join("|")})/[\\w/-]+)\``,
  "g",
);
/** Files that an operator writes, or a deployment makes. */
const ELSEWHERE = [
  "zonefleet.config.ts",
  "zonefleet.config.json",
  "zonefleet.deployment.ts",
  "*.deployed.json",
];

/** Files, and folders with a slash at the end, from the root. */
const there = FOLDERS.flatMap((folder) => globSync(`${folder}/**`, { cwd: root, withFileTypes: true })).map(
  (entry) => {
    const path = join(entry.parentPath, entry.name).slice(root.length);
    return entry.isDirectory() ? `${path}/` : path;
  },
);
there.push(...globSync(["*.json", "*.yml", "*.md"], { cwd: root }));

const isThere = (name: string): boolean =>
  there.some((path) => [name, `${name}/`, `**/${name}`].some((pattern) => matchesGlob(path, pattern)));

for (const document of ["README.md", ...globSync("docs/*.md", { cwd: root })]) {
  test(`${document} names files that are there`, async () => {
    const text = await readFile(join(root, document), "utf8");
    const named = new Set([...text.matchAll(NAMED)].map(([, name = ""]) => name.replace(/^\.\//, "")));
    const missing = [...named].filter((name) => !ELSEWHERE.includes(name) && !isThere(name));
    assert.deepEqual(missing, []);
  });
}

test("a file or folder that is not there would be missed", () => {
  for (const name of ["nowhere.ts", "shared/nowhere", "sender/nowhere/", "domain/nowhere*.ts"])
    assert.equal(isThere(name), false, name);
  for (const name of ["domain/retry.ts", "shared/domain", "sender/feeder/", "*-alarms.ts"])
    assert.equal(isThere(name), true, name);
});

test("the architecture names many", async () => {
  const text = await readFile(join(root, "docs/architecture.md"), "utf8");
  assert.ok([...text.matchAll(NAMED)].length > 60);
});
