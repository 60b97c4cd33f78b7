/** The CDK app with a record or a configuration that is not right: what to change, and no stack trace. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { SECOND } from "#shared/domain/units.ts";
import { parseDeployment } from "../../infra/deployment.ts";
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

describe("the record", () => {
  const vpc = {
    id: "vpc-0a1b2c3d",
    cidr: "172.16.0.0/16",
    availabilityZones: ["eu-central-1a"],
    publicSubnetIds: ["subnet-0a1b2c3d"],
  };
  const fields: [why: string, fields: object, says: RegExp][] = [
    ["a network by its id alone", { vpc: "vpc-0a1b2c3d" }, /expected "new", or id, cidr, .*\n.*at vpc$/m],
    ["a network that is no network", { vpc: { ...vpc, cidr: "here" } }, /at vpc\.cidr$/m],
    [
      "subnets that are not one for each availability zone",
      { vpc: { ...vpc, publicSubnetIds: ["subnet-0a1b2c3d", "subnet-0b1b2c3d"] } },
      /one subnet for each availability zone.*\n.*at vpc/,
    ],
    [
      "availability zones of another region",
      { vpc: { ...vpc, availabilityZones: ["us-east-1a"] } },
      /not in eu-central-1\n.*at vpc\.availabilityZones/,
    ],
    [
      "an instance type that is none",
      { senders: { instanceType: "large" } },
      /instance type such as c7g\.medium\n.*at senders\.instanceType/,
    ],
    ["clients that are no network", { smtpClients: ["everybody"] }, /at smtpClients\[0\]$/m],
    ["clients that are nobody", { smtpClients: [] }, /at smtpClients$/m],
    [
      "a certificate of another region",
      { api: { certificateArn: "arn:aws:acm:us-east-1:123456789012:certificate/1" } },
      /expected a certificate in eu-central-1\n.*at api\.certificateArn/,
    ],
  ];
  for (const [why, field, says] of fields)
    test(`refuses ${why}`, () => {
      assert.throws(() => parseDeployment({ ...RECORD, ...field }, "record.ts"), says);
    });
});
