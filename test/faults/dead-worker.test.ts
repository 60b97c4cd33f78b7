/** A worker that dies while it sends: another takes its place, and its mail does not wait until its leases lapse. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import type { Verdict } from "../../sender/sandbox/behaviour.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { sendByHttp } from "../support/mail-load.ts";
import { messageView } from "../support/relay-api.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";

const TIMEOUT_MS = 60 * SECOND;
/** Far less than the lease of 120 s. */
const PATIENCE_MS = 10 * SECOND;

test("mail of a worker that is killed is sent soon by one that lives", { timeout: TIMEOUT_MS }, async (t) => {
  const verdicts: Verdict[] = [{ do: "silence" }];
  await using mx = await startFakeMx({ rules: { message: () => verdicts.shift() ?? { do: "accept" } } });
  await using scratch = await scratchFolder();
  const zone = { host: "127.0.0.1", port: mx.port };
  await using relay = await startRelayProcess({
    scratch,
    config: { queue: { lease: 120 * SECOND }, zones: { default: zone } },
  });
  const before = new Map(relay.workers());
  const id = await sendByHttp(relay.httpUrl, {
    number: 1,
    returnPath: "sender@origin.test",
    recipients: [{ address: "anna@probe.test", fate: "DELIVERED" }],
    id: null,
  });
  await eventually("the mail", PATIENCE_MS, () => (mx.said.includes("DATA anna@probe.test") ? true : null));
  const worker = (await messageView(relay.httpUrl, id))?.messages[0]?.lock?.worker ?? "nobody";
  const pid = before.get(worker);
  assert.ok(pid !== undefined, `${worker} has it`);
  const killedAt = Date.now();
  process.kill(pid, "SIGKILL");
  await mx.waitFor(1, PATIENCE_MS);
  const sentMs = Date.now() - killedAt;
  await eventually("another worker in its place", PATIENCE_MS, () =>
    relay.workersEver() === 3 ? true : null,
  );
  t.diagnostic(
    `sent again ${sentMs} ms after the kill, in full strength again after ${Date.now() - killedAt} ms`,
  );
  assert.ok(!relay.workers().has(worker));
  const row = await eventually("the end of the row", PATIENCE_MS, async () => {
    const now = (await messageView(relay.httpUrl, id))?.messages[0];
    return !now || now.status === "LEASED" ? null : now;
  });
  assert.equal(row.status, "DELIVERED");
  assert.equal(mx.mails.length, 1);
});
