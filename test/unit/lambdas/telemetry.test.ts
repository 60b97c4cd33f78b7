/** What a Lambda writes, read where it is written: JSON lines, of which CloudWatch makes log lines and metrics. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { promisify } from "node:util";

const MODULE = JSON.stringify(new URL("../../../lambdas/telemetry.ts", import.meta.url).href);

/** Run `code` with a `told` of the Lambda `send` of an installation, and give the lines it wrote: errors first. */
async function linesOf(code: string, env: Record<string, string> = {}): Promise<Record<string, unknown>[]> {
  const script = `import { observer, telemetry } from ${MODULE}; const told = telemetry("send", "zonefleet-test"); ${code}`;
  const args = ["--input-type=module", "--eval", script];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env, timeout: 20_000 });
  const lines = `${stderr}\n${stdout}`.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("what a Lambda tells", () => {
  test("metrics are one EMF line when they are published, with the sums of what was counted", async () => {
    const lines = await linesOf(`
      told.count("Requests"); told.count("MessagesAccepted", 2); told.count("MessagesAccepted", 3);
      told.time("RequestTime", 12); told.publish(); told.publish();`);
    assert.equal(lines.length, 1, "nothing is written when nothing was counted");
    const [line] = lines as [Record<string, unknown>];
    assert.deepEqual([line["Requests"], line["MessagesAccepted"], line["RequestTime"]], [1, [2, 3], 12]);
    assert.equal(line["service"], "send");
    const emf = line["_aws"] as { CloudWatchMetrics: { Namespace: string; Dimensions: string[][] }[] };
    assert.deepEqual(
      emf.CloudWatchMetrics.map(({ Namespace }) => Namespace),
      ["ZoneFleet"],
    );
    assert.deepEqual(
      emf.CloudWatchMetrics.map(({ Dimensions }) => Dimensions),
      [[["service", "Installation"]]],
    );
    assert.equal(line["Installation"], "zonefleet-test");
  });

  test("a gauge of a zone is one EMF line at once", async () => {
    const [line, ...others] = await linesOf(`
      told.zoneGauges("bulk", 1767323045000, { RowsQueued: 2, RowsDeferred: 0, RowsHeld: 1, OldestDueAgeSeconds: 61 });`);
    assert.deepEqual(others, []);
    assert.deepEqual(line, {
      _aws: {
        Timestamp: 1_767_323_045_000,
        CloudWatchMetrics: [
          {
            Namespace: "ZoneFleet",
            Dimensions: [["Installation", "Zone"]],
            Metrics: [
              { Name: "RowsQueued", Unit: "Count" },
              { Name: "RowsDeferred", Unit: "Count" },
              { Name: "RowsHeld", Unit: "Count" },
              { Name: "OldestDueAgeSeconds", Unit: "Seconds" },
            ],
          },
        ],
      },
      Installation: "zonefleet-test",
      Zone: "bulk",
      RowsQueued: 2,
      RowsDeferred: 0,
      RowsHeld: 1,
      OldestDueAgeSeconds: 61,
    });
  });

  test("every line names the invocation, and the first of a process is counted as a cold start", async () => {
    const lines = await linesOf(`
      told.begin("one"); told.log.error({}, "first"); told.publish();
      told.begin("two"); told.log.error({}, "second"); told.publish();`);
    const errors = lines.filter(({ level }) => level === "ERROR");
    assert.deepEqual(
      errors.map(({ message, awsRequestId }) => [message, awsRequestId]),
      [
        ["first", "one"],
        ["second", "two"],
      ],
    );
    assert.deepEqual(
      lines.filter((line) => "_aws" in line).map((line) => line["ColdStarts"]),
      [1],
    );
  });

  test("a log line has its fields, and an error whole", async () => {
    const [line] = await linesOf(
      `told.log.error({ component: "api", err: new Error("why") }, "request failed");`,
    );
    assert.deepEqual(
      [line?.["level"], line?.["message"], line?.["component"], line?.["service"]],
      ["ERROR", "request failed", "api", "send"],
    );
    const err = line?.["err"] as { message: string; stack: string };
    assert.equal(err.message, "why");
    assert.match(err.stack, /Error: why/);
  });

  test("a mail that is accepted costs no log line at the usual level", async () => {
    const code = `
      const of = observer(told);
      of.accepted({ id: "m" }, [{ state: "queued" }, { state: "suppressed" }], 5);
      of.notAccepted(new Error("the store is down"));
      told.publish();`;
    const lines = await linesOf(code, { POWERTOOLS_LOG_LEVEL: "INFO" });
    assert.deepEqual(
      lines.map(({ message }) => message),
      ["message could not be stored", undefined],
    );
    const { MessagesAccepted, RecipientsAccepted, RecipientsSuppressed, MessagesNotStored } = lines[1] ?? {};
    assert.deepEqual(
      [MessagesAccepted, RecipientsAccepted, RecipientsSuppressed, MessagesNotStored],
      [1, 2, 1, 1],
    );
  });
});
