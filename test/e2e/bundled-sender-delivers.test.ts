/** What is put on a host of AWS: a folder that runs without packages, on the stores of AWS. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { createTransport } from "nodemailer";

import { SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { bundleSender, SENDER_CONFIG_FILE } from "../../sender/bundle.ts";
import { stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { newAwsInstallation } from "../support/aws-relay-store.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { patient } from "../support/patience.ts";
import { scratchFolder, startRelayProcess } from "../support/relay-process.ts";

stopLocalAwsAtEnd();

describe("a bundled sender", { skip: noLocalAws(), timeout: patient(60 * SECOND) }, () => {
  test("takes mail in and delivers it, with nothing beside it but Node", async () => {
    await using mx = await startFakeMx();
    const relay = { host: "127.0.0.1", port: mx.port };
    const config = parseConfig(
      {
        hostname: "mail.example.com",
        smtpInterfaces: { feeder: { host: "127.0.0.1", port: 0 } },
        api: { enabled: false },
        zones: { default: relay, bounces: relay },
      },
      { source: null, baseDir: "/" },
    );
    const outDir = await mkdtemp(join(tmpdir(), "zonefleet-bundle-"));
    await using scratch = await scratchFolder();
    const { env } = await newAwsInstallation();
    try {
      await bundleSender({ outDir, config });
      await using sender = await startRelayProcess({
        scratch,
        processes: 1,
        command: [process.execPath, join(outDir, "main.mjs")],
        env: {
          ...env,
          ZONEFLEET_CONFIG: join(outDir, SENDER_CONFIG_FILE),
        },
      });
      const client = createTransport({ host: "127.0.0.1", port: sender.smtpPort, ignoreTLS: true });
      await client.sendMail({ from: "anna@example.com", to: "ben@example.net", subject: "x", text: "y" });
      client.close();
      const [mail] = await mx.waitFor(1);
      assert.deepEqual(mail?.recipients, ["ben@example.net"]);
    } finally {
      await rm(outDir, { recursive: true, force: true });
    }
  });
});
