/**
 * What docs/coming-from-zonemta.md promises: no key, route or hook of ZoneMTA is passed over, each row names a test that is there, and
 * one that names none says why there is nothing to test.
 */

import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Names in the keys that an operator chooses. */
const OWN_NAMES = new Set(["own", "out", "default"]);

const ROUTES = `/test-auth /report-bounce /bounces /send /send-raw /store /zones /counter /queued /fetch /message /blacklist /skipdomains
  /internals /internals/clear-counters /suppressionlist /metrics /plugin /healthz`;

const HOOKS = `smtp:init smtp:sni smtp:connect smtp:auth smtp:mail_from smtp:rcpt_to smtp:data api:mail message:headers message:store
  message:queue queue:route queue:bounce queue:delayed queue:release sender:fetch sender:connecting sender:connected sender:tlserror
  sender:connect sender:connection sender:headers sender:delivered sender:responseError log:entry`;

const words = (list: string): string[] => list.trim().split(/\s+/);

let page: string;
let plugins: string;
/** The last names of ZoneMTA's keys: of its own defaults, and of what its documents and code read besides. */
let keys: string[];
before(async () => {
  const cases = await readFile(join(root, "test/data/zonemta-keys.json"), "utf8");
  keys = (JSON.parse(cases) as { key: string }[])
    .map(({ key }) => key.split(" ").at(-1) ?? "")
    .filter((name) => !OWN_NAMES.has(name));
  page = await readFile(join(root, "docs/coming-from-zonemta.md"), "utf8");
  plugins = await readFile(join(root, "docs/plugins.md"), "utf8");
});

/** The rows of tables that have three columns: what ZoneMTA does, what is here, and what shows it. */
function rows(): { here: string; shownBy: string }[] {
  return page.split("\n").flatMap((line) => {
    const [, theirs, here, shownBy, end] = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    if (end !== "" || theirs === "ZoneMTA" || /^-+$/.test(theirs ?? "")) return [];
    return [{ here: here ?? "", shownBy: shownBy ?? "" }];
  });
}

describe("docs/coming-from-zonemta.md", () => {
  test("passes over no key, route or hook", () => {
    assert.ok(keys.length > 150, `only ${keys.length}`);
    assert.deepEqual(
      keys.filter((key) => !new RegExp(`\`[^\`\n]*\\b${key}\\b[^\`\n]*\``).test(page)),
      [],
    );
    assert.deepEqual(
      words(ROUTES).filter((route) => !page.includes(route)),
      [],
    );
    assert.deepEqual(
      words(HOOKS).filter((hook) => !page.includes(hook) && !plugins.includes(`\`${hook}\``)),
      [],
    );
  });

  test("names tests that are there", async () => {
    const named = [...page.matchAll(/`((?:unit|e2e|faults|contract|property|fuzz|infra)\/[^`]+)`/g)];
    const files = [...new Set(named.map(([, file]) => file as string))];
    assert.ok(files.length > 80, `only ${files.length}`);
    for (const file of files) assert.ok((await stat(join(root, "test", file))).isFile(), file);
  });

  test("has a test or a reason in each row", () => {
    const all = rows();
    assert.ok(all.length > 150, `only ${all.length}`);
    for (const { here, shownBy } of all) {
      assert.doesNotMatch(here, /not yet/i);
      if (shownBy === "") assert.ok(here.length > 30, `neither a test nor a reason: ${here}`);
    }
  });
});
