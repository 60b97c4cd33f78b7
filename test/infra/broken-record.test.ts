/** The CDK app with a record or a configuration that is not right: what to change, and no stack trace. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { SECOND } from "#shared/domain/units.ts";
import { patient } from "../support/patience.ts";

const APP = fileURLToPath(new URL("../../infra/app.ts", import.meta.url));
const RECORD = {
  environment: "test",
  region: "eu-central-1",
  domain: "mail.example.com",
  alarmEmail: "a@example.com",
};

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "zonefleet-record-"));
});
after(() => rm(folder, { recursive: true, force: true }));

/** As CDK calls it. Nothing is synthesised: it ends before. */
async function synth(record: string, config = "{}"): Promise<{ code: unknown; err: string }> {
  const file = join(folder, "record.ts");
  await writeFile(file, record);
  await writeFile(join(folder, "config.json"), config);
  const env = { CDK_CONTEXT_JSON: JSON.stringify({ deployment: file }), CDK_OUTDIR: join(folder, "out") };
  return new Promise((resolve) => {
    execFile(process.execPath, [APP], { env, timeout: patient(60 * SECOND) }, (error, _out, err) => {
      resolve({ code: error?.code ?? 0, err });
    });
  });
}

const exported = (record: object) => `export default ${JSON.stringify(record)};`;

describe("the CDK app", () => {
  const cases: [why: string, record: string, config: string, says: RegExp][] = [
    [
      "a field that is wrong",
      exported({ ...RECORD, region: "Frankfurt" }),
      "{}",
      /record\.ts is not right:\n.*region such as eu-central-1/,
    ],
    [
      "a field that is not known",
      exported({ ...RECORD, instances: 2 }),
      "{}",
      /Unrecognized key: "instances"/,
    ],
    ["a record that is no module", "export default {", "{}", /record\.ts cannot be read: /],
    [
      "a configuration that is wrong",
      exported({ ...RECORD, config: "config.json" }),
      '{"zons": {}}',
      /did you mean zones\?/,
    ],
    [
      "a configuration that is missing",
      exported({ ...RECORD, config: "other.json" }),
      "{}",
      /there is no file .*other\.json/,
    ],
  ];
  for (const [why, record, config, says] of cases)
    test(`tells of ${why}, and ends with exit code 1`, async () => {
      const { code, err } = await synth(record, config);
      assert.match(err, says);
      assert.equal(code, 1);
      assert.doesNotMatch(err, /^\s+at /m);
    });
});
