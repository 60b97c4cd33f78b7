import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { loadConfig, parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/define-config.ts";
import { greeting } from "../../../sender/greeting.ts";
import type { Scene } from "../../../sender/greeting.ts";

const CWD = "/nowhere";

/** What is told of a relay on any port, with this configuration; null: with none. */
async function told(input: ConfigInput | null, scene: Partial<Scene> = {}): Promise<string> {
  const settings = await loadConfig({ env: {}, cwd: import.meta.dirname });
  const config = input === null ? settings.config : parseConfig(input, { source: null, baseDir: CWD });
  const source = input === null ? null : `${CWD}/zonefleet.config.ts`;
  const listens = [
    { kind: "smtp", name: "feeder", address: "0.0.0.0", port: 2525 },
    { kind: "http", name: "api", address: "::", port: 12_080 },
  ] as const;
  return greeting(
    { ...settings, config, source, dataDir: `${CWD}/data` },
    { listens, frontDoor: null, cwd: CWD, ...scene },
  );
}

describe("the greeting", () => {
  test("names doors, store, configuration and sandbox, by paths from here", async () => {
    const text = await told(null);
    assert.match(text, /^ {2}SMTP {6}0\.0\.0\.0:2525 {2}\(feeder\)$/m);
    assert.match(text, /^ {2}data {6}\.\/data \(embedded store\)$/m);
    assert.match(text, /^ {2}config {4}built-in defaults; write zonefleet\.config\.ts to change them$/m);
    assert.match(text, /ends in \.\/data\/sandbox$/m);
    assert.match(await told({}), /^ {2}config {4}\.\/zonefleet\.config\.ts$/m);
  });

  test("sends the first mail to the sandbox, and where there is none to somebody who is there", async () => {
    assert.match(await told(null), /curl http:\/\/\[::1\]:12080\/send .*"to":"you@example\.com"/);
    const real = await told({ hostname: "mail.example.org" });
    assert.match(real, /"from":"me@mail\.example\.org","to":"YOUR@OWN\.ADDRESS"/);
    assert.doesNotMatch(real, /example\.com/);
  });

  test("sends it by SMTP where no API is served, and with its key where Lambdas serve it", async () => {
    const listens = [{ kind: "smtp", name: "feeder", address: "127.0.0.1", port: 25 }] as const;
    const bySmtp = /swaks --server 127\.0\.0\.1:25 --from me@example\.com --to you@example\.com$/m;
    assert.match(await told(null, { listens }), bySmtp);
    const frontDoor = { address: "127.0.0.1", port: 80, apiKey: "secret" };
    const byLambda = /curl http:\/\/127\.0\.0\.1:80\/send -H 'authorization: Bearer secret'/;
    assert.match(await told(null, { listens, frontDoor }), byLambda);
    assert.doesNotMatch(await told(null, { listens: [] }), /first mail/);
  });
});
