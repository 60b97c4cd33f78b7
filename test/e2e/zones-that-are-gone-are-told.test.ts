/** Mail that waits in a zone which is taken out of the configuration: whoever looks is told why it does not go out, and it goes out again with the zone. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { MINUTE, SECOND } from "#shared/domain/units.ts";
import { cliFolder } from "../support/cli-process.ts";
import { patient } from "../support/patience.ts";
import type { LogLine, RelayProcess } from "../support/relay-process.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";

const PATIENCE_MS = patient(20 * SECOND);
const ZONE = { senderDomains: ["shop.example"] };

test(
  "mail in a zone that the configuration has no more is told of at the start, and goes out when the zone is back",
  { timeout: 2 * MINUTE },
  async () => {
    await using scratch = await scratchFolder();
    await using cli = await cliFolder();
    const start = (zones: object) =>
      startRelayProcess({
        scratch,
        config: { sandbox: {}, zones: { default: {}, ...zones } },
      });
    const { id, waiting } = await (async () => {
      await using relay = await start({ bulk: { ...ZONE, disabled: true } });
      const mail = { from: "anna@shop.example", to: "bob@example.com", subject: "Hello", text: "It waits." };
      const answer = await fetch(`${relay.httpUrl}/send`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(mail),
      });
      const { id: sent } = (await answer.json()) as { id: string };
      return { id: sent, waiting: await noteOf(relay.httpUrl, sent) };
    })();
    assert.match(waiting ?? "", /zone "bulk" is disabled/);
    {
      await using relay = await start({});
      const warnings = await eventually("the warning", PATIENCE_MS, () => {
        const found = gone(relay);
        return found.length > 0 ? found : null;
      });
      assert.deepEqual(
        warnings.map(({ level, zone, recipients }) => ({ level, zone, recipients })),
        [{ level: "warn", zone: "bulk", recipients: 1 }],
      );
      assert.match((await noteOf(relay.httpUrl, id)) ?? "", /zone "bulk" is not in the configuration/);
      const zonefleet = async (...args: string[]): Promise<string> =>
        (await cli.zonefleet(args, { ZONEFLEET_URL: relay.httpUrl })).out;
      assert.match(await zonefleet("zones"), /^bulk\tactive 1\t.*\tnot in the configuration$/m);
      assert.match(await zonefleet("queue", "show", id), /^ +the zone "bulk" is not in the configuration/m);
    }
    await using relay = await start({ bulk: ZONE });
    await eventually("the delivery", PATIENCE_MS, async () =>
      (await rowOf(relay.httpUrl, id)).status === "DELIVERED" ? true : null,
    );
    assert.equal(await noteOf(relay.httpUrl, id), null);
    assert.deepEqual(gone(relay), []);
  },
);

function gone({ log }: RelayProcess): LogLine[] {
  return log.filter(({ msg }) => msg === "zone is gone: its mail waits");
}

async function rowOf(url: string, id: string): Promise<{ status: string; note?: string }> {
  const { messages } = (await (await fetch(`${url}/message/${id}`)).json()) as {
    messages: { status: string; note?: string }[];
  };
  assert.ok(messages[0]);
  return messages[0];
}

async function noteOf(url: string, id: string): Promise<string | null> {
  return (await rowOf(url, id)).note ?? null;
}
