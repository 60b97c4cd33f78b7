/** `npm run start:aws-local` as a person uses it: in another region than the usual one, and ended by Ctrl-C. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";

import { MIB, SECOND } from "#shared/domain/units.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { patient } from "../support/patience.ts";
import { eventually, scratchFolder, startMain } from "../support/relay-process.ts";

const PATIENCE_MS = patient(60 * SECOND);
const skip = noLocalAws() || (process.env["AWS_ENDPOINT_URL"] ? "it starts servers of its own" : false);

describe("the whole of AWS on one machine", { skip, timeout: 4 * PATIENCE_MS }, () => {
  test("sends mail and reports, names the way for large mail, and ends before its servers do", async () => {
    await using scratch = await scratchFolder();
    await using main = await startMain({
      scratch,
      command: [process.execPath, "sender/aws-local/main.ts"],
      config: { sandbox: { port: 0 } },
      env: { ZONEFLEET_BACKEND: undefined, AWS_REGION: "eu-west-1" },
    });
    const [, url = "", key = ""] = await eventually("a first mail to send", PATIENCE_MS, () =>
      /curl (http:\S+)\/send -H 'authorization: Bearer (\S+)'/.exec(main.screen()),
    );
    const post = (path: string, body: string): Promise<Response> =>
      fetch(url + path, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body,
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
    const mail = { from: "me@example.com", to: ["you@example.com", "550-rcpt@example.com"], text: "hello" };
    const sent = await post("/send", JSON.stringify(mail));
    assert.equal(sent.status, 200);
    await eventually("the mail, and the report by the stream", PATIENCE_MS, async () => {
      const kept = await mailsIn(join(scratch.data, "sandbox"));
      return kept.some((text) => text.includes("hello")) &&
        kept.some((text) => text.includes("Final-Recipient: rfc822; 550-rcpt@example.com"))
        ? true
        : null;
    });
    assert.match(await refusalOf(`${url}/send-raw`, { key, bytes: 11 * MIB }), /POST \/uploads/);
    process.kill(-main.pid, "SIGINT"); // Ctrl-C goes to all of the group
    assert.deepEqual(await main.ended, { code: 0, signal: null });
    const bad = main.log.filter(({ level }) => level === "error" || level === "warn");
    assert.deepEqual(bad, []);
    assert.doesNotMatch(main.screen(), /CloudWatchMetrics/);
  });
});

/** What is said of a body that is only announced, so that nothing of it is in the way of the answer. */
async function refusalOf(url: string, { key, bytes }: { key: string; bytes: number }): Promise<string> {
  const headers = { authorization: `Bearer ${key}`, "content-length": bytes };
  const asking = request(url, { method: "POST", headers, signal: AbortSignal.timeout(PATIENCE_MS) });
  asking.flushHeaders();
  const [answer] = (await once(asking, "response")) as [IncomingMessage];
  assert.equal(answer.statusCode, 413);
  const said = Buffer.concat(await Array.fromAsync(answer as AsyncIterable<Buffer>)).toString();
  asking.destroy();
  return said;
}

async function mailsIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return Promise.all(
    names.filter((name) => name.endsWith(".eml")).map((name) => readFile(join(folder, name), "utf8")),
  );
}
