/** A sender process at work on all that it is for, watched: every call of AWS that it makes (test/infra/grants.test.ts). */

import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { createTransport } from "nodemailer";

import { putAccount } from "#shared/app/accounts.ts";
import { splitSecrets } from "#shared/domain/config-secrets.ts";
import { MIB, SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { printDeployedConfig } from "#shared/runtime/deployed-config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { AwsCall } from "./aws-calls.ts";
import { callsOf, SECRET, SECRET_RESOURCE } from "./aws-calls.ts";
import { startAwsProxy } from "./aws-proxy.ts";
import { newAwsInstallation, openAwsBackend } from "./aws-relay-store.ts";
import type { FakeMx } from "./fake-mx.ts";
import { startFakeMx } from "./fake-mx.ts";
import { patient } from "./patience.ts";
import { eventually, scratchFolder, startRelayProcess } from "./relay-process.ts";
import { startSecretsServer } from "./secrets-server.ts";
import { TEST_CERT, TEST_KEY } from "./test-certificate.ts";

const PATIENCE_MS = patient(30 * SECOND);
const LOGIN = { user: "anna", pass: "a password" };
/** What the receiver does with them (sender/sandbox/behaviour.ts): taken, taken, refused, refused for now, the site asks for less. */
const RECIPIENTS = ["ben@example.net", "carl@example.net", "550-rcpt@example.net", "451-rcpt@example.net"];

/** Mail in by SMTP, out, refused and put off; until it has drained. */
export async function watchSender(): Promise<readonly AwsCall[]> {
  const seen: AwsCall[] = [];
  await using stack = new AsyncDisposableStack();
  const mx = stack.use(await startFakeMx());
  const config = configOf(mx);
  const installation = await newAwsInstallation();
  const backend = await openAwsBackend(installation, { config, clock: systemClock });
  stack.defer(() => backend.close());
  await putAccount({ ...backend, randomBytes }, { user: LOGIN.user, password: LOGIN.pass });
  const proxy = stack.use(await startAwsProxy(installation.env));
  proxy.onAnswer = (request, answer) => seen.push(...callsOf(request, answer, installation.names));
  const secrets = stack.use(await startSecretsServer());
  const document = { sealKey: "k".repeat(64), config: Object.fromEntries(splitSecrets(config).secrets) };
  secrets.secrets.set(SECRET, JSON.stringify(document));
  const scratch = stack.use(await scratchFolder());
  const configFile = join(scratch.folder, "zonefleet.deployed.json");
  await writeFile(configFile, printDeployedConfig(config));
  const sender = stack.use(
    await startRelayProcess({
      scratch,
      processes: 1,
      env: {
        ...secrets.env,
        ...proxy.env,
        ZONEFLEET_SECRET: SECRET,
        ZONEFLEET_CONFIG: configFile,
      },
    }),
  );
  await sendMail(sender.smtpPort);
  await mx.waitFor(MAILS, PATIENCE_MS);
  await eventually("the refusals", PATIENCE_MS, async () => {
    const said = mx.said.join("\n");
    return said.includes("550-rcpt") && said.includes("451-rcpt") ? true : null;
  });
  sender.signal("SIGTERM");
  await sender.ended;
  const asked = secrets.calls.map((name) => ({
    action: `secretsmanager:${name}`,
    resource: SECRET_RESOURCE,
    partitions: null,
  }));
  return [...seen, ...asked];
}

/** Accepted ones: two small, and two of a large one. */
const MAILS = 3;

async function sendMail(port: number): Promise<void> {
  const client = createTransport({
    host: "127.0.0.1",
    port,
    secure: true,
    auth: LOGIN,
    tls: { rejectUnauthorized: false },
  });
  try {
    const mail = { from: "anna@example.com", subject: "x", text: "y" };
    for (const to of RECIPIENTS) await client.sendMail({ ...mail, to });
    await client.sendMail({
      ...mail,
      to: RECIPIENTS.slice(0, 2),
      text: "0123456789\n".repeat((6 * MIB) / 11),
    });
  } finally {
    client.close();
  }
}

function configOf(mx: FakeMx) {
  const relay = { host: "127.0.0.1", port: mx.port };
  return parseConfig(
    {
      hostname: "mail.example.com",
      smtpInterfaces: {
        feeder: {
          host: "127.0.0.1",
          port: 0,
          secure: true,
          key: TEST_KEY,
          cert: TEST_CERT,
          authentication: true,
        },
      },
      api: { enabled: false },
      dns: { blockLocalAddresses: false },
      zones: { default: relay, bounces: relay },
    },
    { source: null, baseDir: "/" },
  );
}
