/** What holds over all stacks of a deployment together: no secret is in them, a zone is only a zone more, and many zones have room. */

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { App, Validations } from "aws-cdk-lib";
import type { Template } from "aws-cdk-lib/assertions";
import { AwsSolutionsChecks } from "cdk-nag";

import { splitSecrets } from "#shared/domain/config-secrets.ts";
import { SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { buildApp } from "../../infra/build-app.ts";
import { parseDeployment } from "../../infra/deployment.ts";
import { buildLambdas } from "../../lambdas/build.ts";
import { bundleSender } from "../../sender/bundle.ts";
import context from "../../cdk.json" with { type: "json" };
import { DEPLOYMENT, templates } from "../support/stacks.ts";
import type { Templates } from "../support/stacks.ts";
import { ofType, resourcesIn } from "../support/template-resources.ts";
import { TEST_CERT, TEST_KEY } from "../support/test-certificate.ts";

const before = await templates({ config: { zones: { bulk: {} } } });
const SMTP = { host: "0.0.0.0", authentication: true, useProxy: ["10.25.0.0/16"] };

test("cdk-nag finds nothing that stands without a reason, and no secret of the configuration is in any file of the stacks", async () => {
  const outDir = await mkdtemp(join(tmpdir(), "zonefleet-whole-"));
  try {
    const config = withSecrets();
    const secrets = [...splitSecrets(config).secrets.values()].map((secret) =>
      JSON.stringify(secret).slice(1, -1),
    );
    assert.ok(secrets.length >= 5, "they were planted");
    const senderFolder = join(outDir, "sender");
    await bundleSender({ outDir: senderFolder, config });
    const built = await buildLambdas({ outDir: join(outDir, "lambdas"), config });
    const outdir = join(outDir, "cdk.out");
    const app = new App({ outdir, context: context.context, analyticsReporting: false });
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
    buildApp(app, {
      deployment: parseDeployment(DEPLOYMENT, "the test"),
      config,
      bundles: new Map(built.map(({ name, folder }) => [name, folder])),
      senderFolder,
      isLocal: false,
    });
    const { directory } = app.synth(); // throws for what cdk-nag finds
    const files = await readdir(directory, { recursive: true, withFileTypes: true });
    let read = 0;
    for (const file of files.filter((each) => each.isFile())) {
      const text = await readFile(join(file.parentPath, file.name), "latin1");
      for (const secret of secrets) assert.ok(!text.includes(secret), `${file.name} has a secret`);
      read++;
    }
    assert.ok(read > 20, `${read} files: the bundles are among them`);
  } finally {
    await rm(outDir, { recursive: true, force: true });
  }
});

describe("a zone more in the configuration", { timeout: 60 * SECOND }, () => {
  test("adds its queues, their reader, its alarms and its name in grants, over all stacks, and takes nothing away", async () => {
    const after = await templates({ config: { zones: { bulk: {}, extra: {} } } });
    for (const [name, template] of Object.entries(after)) {
      const [old, now] = [resourcesIn(before[name as keyof Templates]), resourcesIn(template)];
      const added = [...now].filter(([id]) => !old.has(id));
      for (const [id, resource] of added) assert.match(JSON.stringify(resource), /extra/i, id);
      assert.deepEqual(
        [...old.keys()].filter((id) => !now.has(id)),
        [],
        "nothing is taken away",
      );
      const changed = [...old].filter(([id, was]) => JSON.stringify(now.get(id)) !== JSON.stringify(was));
      for (const [id, { Type }] of changed) {
        assert.ok(CHANGED_BY_A_ZONE.includes(Type), `${name}: ${id} (${Type})`);
        assert.match(JSON.stringify(now.get(id)), /extra/, id);
      }
    }
    const addedIn = (template: keyof Templates): string[] =>
      [...resourcesIn(after[template])]
        .filter(([id]) => !resourcesIn(before[template]).has(id))
        .map(([, { Type }]) => Type);
    assert.deepEqual(addedIn("api"), ["AWS::Lambda::EventSourceMapping"]);
    assert.deepEqual(addedIn("sender"), []);
    assert.ok(addedIn("observability").every((type) => type === "AWS::CloudWatch::Alarm"));
    assert.ok(addedIn("observability").length > 0);
  });
});

/** The guard is told, roles may use its queue, and the dashboard shows it. */
const CHANGED_BY_A_ZONE = [
  "Custom::Zones",
  "AWS::IAM::Policy",
  "AWS::IAM::ManagedPolicy",
  "AWS::CloudWatch::Dashboard",
];

test("sixty zones with the longest names fit into what CloudFormation and IAM take", async () => {
  const names = Array.from({ length: 60 }, (_, i) => `zone-${i}-`.padEnd(LONGEST_ZONE_NAME, "x"));
  const made = await templates({ config: { zones: Object.fromEntries(names.map((name) => [name, {}])) } });
  for (const [name, template] of Object.entries(made)) {
    assert.ok(
      resourcesIn(template).size <= MAX_RESOURCES,
      `${name}: ${resourcesIn(template).size} resources`,
    );
    assert.ok(JSON.stringify(template.toJSON()).length <= MAX_TEMPLATE_BYTES, name);
    for (const size of inlinePolicySizes(template))
      assert.ok(size <= MAX_INLINE_CHARS, `${name}: ${size} characters`);
    for (const { Properties } of ofType(template, "AWS::IAM::ManagedPolicy"))
      assert.ok(charsOf(Properties["PolicyDocument"]) <= MAX_MANAGED_CHARS, name);
  }
});

const LONGEST_ZONE_NAME = 48;
const MAX_RESOURCES = 500;
const MAX_TEMPLATE_BYTES = 1_000_000;
/** All inline policies of a role together, white space not counted. */
const MAX_INLINE_CHARS = 10_240;
const MAX_MANAGED_CHARS = 6_144;

function inlinePolicySizes(template: Template): Iterable<number> {
  const sizes = new Map<string, number>();
  for (const { Properties } of ofType(template, "AWS::IAM::Policy"))
    for (const { Ref } of Properties["Roles"])
      sizes.set(Ref, (sizes.get(Ref) ?? 0) + charsOf(Properties["PolicyDocument"]));
  return sizes.values();
}

/** As it is when all of it is known: an account has 12 digits. */
function charsOf(document: unknown): number {
  const text = JSON.stringify(document, (_, value) => {
    if (value?.["Fn::Join"]) return (value["Fn::Join"][1] as unknown[]).map((part) => filled(part)).join("");
    return filled(value);
  });
  return text.length;
}

function filled(value: unknown): unknown {
  const {
    Ref,
    "Fn::GetAtt": attribute,
    "Fn::ImportValue": imported,
  } = (value ?? {}) as Record<string, unknown>;
  if (Ref === "AWS::AccountId") return "123456789012";
  if (Ref === "AWS::Region") return "ap-southeast-1";
  return Ref || attribute || imported
    ? "arn:aws:service:ap-southeast-1:123456789012:and-what-it-is-called"
    : value;
}

function withSecrets() {
  const config = parseConfig(
    {
      hostname: "mail.example.com",
      smtpInterfaces: { submission: { ...SMTP, port: 465, secure: true, key: TEST_KEY, cert: TEST_CERT } },
      pools: { main: [{ address: "elastic", name: "m1.example.com" }] },
      zones: {
        news: { pool: "main" },
        relayed: { host: "relay.example", auth: { user: "planted-user-1", pass: "planted-pass-2" } },
      },
      webhooks: [{ url: "https://hooks.example.com/mail?key=planted-3", secret: "planted-4" }],
      plugins: { "core/srs": { enabled: true, secret: "planted-5", rewriteDomain: "srs.example" } },
    },
    { source: null, baseDir: "/" },
  );
  const keys = [{ domain: "a.example", selector: "s1", privateKey: "planted-dkim-key-6" }];
  const allMailKey = { domain: null, selector: "s2", privateKey: "planted-dkim-key-7" };
  return { ...config, dkim: { ...config.dkim, keys, allMailKey } };
}
