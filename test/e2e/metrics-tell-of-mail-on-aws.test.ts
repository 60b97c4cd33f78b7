/** What CloudWatch makes metrics of, where it is written: by the sweep as it is deployed, and by a sender's process. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { createTransport } from "nodemailer";

import { addApiKey } from "#shared/app/api-keys.ts";
import { openAws } from "#shared/aws/open.ts";
import { SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { newAwsInstallation } from "../support/aws-relay-store.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { startLambdaApi } from "../support/lambda-api.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { metricLinesIn } from "../support/metric-lines.ts";
import type { MetricLine } from "../support/metric-lines.ts";
import { patient } from "../support/patience.ts";
import { scratchFolder, startRelayProcess } from "../support/relay-process.ts";

stopLocalAwsAtEnd();

const config = parseConfig({ hostname: "mail.example.com" }, { source: null, baseDir: "/" });

function ofZone(lines: readonly MetricLine[], zone: string): MetricLine | undefined {
  return lines.find(({ dimensions }) => dimensions[0]?.["Zone"] === zone);
}

describe("metrics on AWS", { skip: noLocalAws(), timeout: patient(60 * SECOND) }, () => {
  test("a sender tells what became of its mail, at the latest when it ends", async () => {
    await using mx = await startFakeMx();
    await using scratch = await scratchFolder();
    const { names, env } = await newAwsInstallation();
    await using sender = await startRelayProcess({
      scratch,
      processes: 1,
      config: {
        hostname: "mail.example.com",
        smtpInterfaces: { feeder: { host: "127.0.0.1", port: 0 } },
        api: { enabled: false },
        zones: { default: { host: "127.0.0.1", port: mx.port } },
      },
      env: {
        ...env,
      },
    });
    const client = createTransport({ host: "127.0.0.1", port: sender.smtpPort, ignoreTLS: true });
    await client.sendMail({ from: "anna@example.com", to: "ben@example.net", subject: "x", text: "y" });
    client.close();
    await mx.waitFor(1);
    sender.signal("SIGTERM");
    await sender.ended;
    const lines = sender.log.map((line) => JSON.stringify(line)).join("\n");
    const counts = ofZone(metricLinesIn(lines), "default");
    assert.equal(counts?.dimensions[0]?.["Installation"], names.table);
    assert.deepEqual([counts?.values["Accepted"], counts?.values["Delivered"]], [1, 1]);
  });

  test("the sweep tells what waits in each zone, and of the fleet", async (t) => {
    await using lambdas = await startLambdaApi(config, { env: { POWERTOOLS_METRICS_DISABLED: "false" } });
    const { clients } = await sharedLocalAws();
    const zones = [...config.zones.keys()];
    const backend = await openAws({ clients, names: lambdas.names, clock: systemClock, zones });
    const keyDeps = { secrets: backend.secrets, clock: systemClock, random: randomBytes };
    const { key } = await addApiKey(keyDeps, { scopes: ["send"], label: "" });
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const body = JSON.stringify({ from: "anna@example.com", to: "ben@example.net", text: "x" });
    assert.equal((await lambdas.ask({ method: "POST", path: "/send", headers, body })).status, 200);

    const write = t.mock.method(process.stdout, "write"); // what is written is written all the same
    await lambdas.invoke("sweep", {});
    const written = write.mock.calls.map(({ arguments: [text] }) => (typeof text === "string" ? text : ""));
    write.mock.restore();
    await backend.close();

    const lines = metricLinesIn(written.join(""));
    assert.equal(ofZone(lines, "default")?.values["RowsQueued"], 1);
    assert.equal(ofZone(lines, "bounces")?.values["RowsQueued"], 0);
    const values = Object.assign({}, ...lines.map((line) => line.values)) as Record<string, number>;
    assert.deepEqual([values["RowsWaiting"], values["SendersAlive"], values["BlockedPairs"]], [1, 0, 0]);
    for (const { dimensions } of lines) assert.equal(dimensions[0]?.["Installation"], lambdas.names.table);
  });
});
