import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { DAY } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { runChecks } from "../../../../cli/doctor/check.ts";
import { certificateChecks, dataFolderChecks } from "../../../../cli/doctor/machine.ts";

const tls = (name: string) => join(import.meta.dirname, "../../../data/tls", name);
const cert = readFileSync(tls("test-only-cert.pem"), "utf8");
const until = Date.parse(new X509Certificate(cert).validTo);
const ownName = new X509Certificate(cert).subjectAltName?.match(/DNS:([\w.-]+)/)?.[1] ?? "localhost";

const pair = { key: tls("test-only-key.pem"), cert: tls("test-only-cert.pem"), hostname: ownName };

function configOf(more: object) {
  const submission = { host: "0.0.0.0", port: 587, authentication: true, starttls: true, ...more };
  const input = { hostname: "mail.example.com", smtpInterfaces: { submission } };
  return parseConfig(input, { source: null, baseDir: "/" });
}

async function certificates(more: object, now: number): Promise<string[]> {
  const findings = await runChecks(certificateChecks(configOf(more), () => now));
  return findings.map(({ status, says }) => `${status}: ${says}`);
}

describe("a certificate", () => {
  test("is well until two weeks before its end, then warned of, and in the end a failure", async () => {
    const [well] = await certificates(pair, until - 15 * DAY);
    assert.match(well ?? "", /^ok: it is good until \d{4}-\d\d-\d\d$/);
    assert.match((await certificates(pair, until - 13 * DAY))[0] ?? "", /^warning: it ends on /);
    assert.match((await certificates(pair, until + DAY))[0] ?? "", /^failure: it ended on /);
  });

  test("that is for another name than the interface's is warned of", async () => {
    const found = await certificates({ ...pair, hostname: "smtp.other.example" }, until - 15 * DAY);
    assert.match(found[0] ?? "", /^warning: it is for DNS:/);
  });
});

describe("the data folder", () => {
  test("is written to and left as it was; one that is not there yet is no failure", async () => {
    const folder = await mkdtemp(join(tmpdir(), "zonefleet-doctor-"));
    try {
      const [there, disk] = await runChecks(dataFolderChecks(folder, configOf(pair)));
      assert.equal(there?.status, "ok");
      assert.match(disk?.says ?? "", /^\d+ MiB are free/);
      assert.deepEqual(await readdir(folder), []);
      const [missing] = await runChecks(dataFolderChecks(join(folder, "data"), configOf(pair)));
      assert.deepEqual([missing?.status, await readdir(folder)], ["warning", []]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
