/** The command line on a deployment: API keys and accounts in its table, made as on one machine. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { apiKeyRing } from "#shared/app/api-keys.ts";
import { SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { newAwsInstallation, openAwsBackend } from "../support/aws-relay-store.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { patient } from "../support/patience.ts";

const CLI = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

stopLocalAwsAtEnd();

describe("zonefleet with ZONEFLEET_BACKEND=aws", { skip: noLocalAws() }, () => {
  test("api-key makes keys that open the API of the deployment, lists and removes them", async () => {
    const installation = await newAwsInstallation();
    const ran = zonefleetOn(installation.env);
    const config = parseConfig({ hostname: "mail.example" }, { source: null, baseDir: "/" });
    const backend = await openAwsBackend(installation, { config, clock: systemClock });
    try {
      const key = (await ran(["api-key", "add", "--scope", "send", "--label", "shop"])).trim();
      const { secrets } = backend;
      assert.equal((await apiKeyRing({ secrets, clock: systemClock }).verify(key))?.label, "shop");
      assert.match(await ran(["api-key", "list"]), /\tsend\t.*\tshop\n$/);
      await ran(["api-key", "remove", key]);
      assert.equal(await apiKeyRing({ secrets, clock: systemClock }).verify(key), null);
      await ran(["account", "add", "anna"], "a password\n");
      assert.deepEqual(await secrets.list("account"), ["anna"]);
    } finally {
      await backend.close();
    }
  });
});

/** Rejects, with what was said on standard error, unless the exit code is 0. */
function zonefleetOn(env: Readonly<Record<string, string>>) {
  return (args: readonly string[], input = ""): Promise<string> =>
    new Promise((resolve, reject) => {
      const options = { env, timeout: patient(30 * SECOND) };
      const child = execFile(process.execPath, [CLI, ...args], options, (error, out, err) => {
        if (error) reject(new Error(`${error.message}\n${err}`));
        else resolve(out);
      });
      child.stdin?.end(input);
    });
}
