/** Many clients at once, each with a connection for each mail, as scripts and cron jobs do it: nobody is turned away. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { sendBySmtp } from "../support/mail-load.ts";
import type { Probe } from "../support/mail-load.ts";
import { scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const TIMEOUT_MS = 60 * SECOND;
const CLIENTS = 200;
const MAILS_EACH = 3;

test(
  "200 clients with a connection for each mail all get their 250, and each mail comes once",
  { timeout: TIMEOUT_MS },
  async (t) => {
    await using mx = await startFakeMx();
    await using scratch = await scratchFolder();
    const zone = { host: "127.0.0.1", port: mx.port };
    await using relay = await startRelayProcess({ scratch, config: { zones: { default: zone } } });
    const sendAll = async (client: number): Promise<string[]> => {
      const ids: string[] = [];
      for (let mail = 0; mail < MAILS_EACH; mail++) {
        using talker = await SmtpTalker.ready(relay.smtpPort);
        ids.push(await sendBySmtp(talker, probeOf(client, mail)));
        assert.equal((await talker.say("QUIT")).code, 221);
      }
      return ids;
    };
    const startedAt = Date.now();
    const ids = (await Promise.all(Array.from({ length: CLIENTS }, (_, client) => sendAll(client)))).flat();
    const acceptedMs = Date.now() - startedAt;
    assert.equal(new Set(ids).size, CLIENTS * MAILS_EACH);
    await mx.waitFor(CLIENTS * MAILS_EACH);
    t.diagnostic(
      `${ids.length} mails on as many connections taken in ${acceptedMs} ms, delivered in ${Date.now() - startedAt} ms`,
    );
    const got = mx.mails.flatMap(({ recipients }) => recipients);
    assert.equal(got.length, ids.length);
    assert.equal(new Set(got).size, ids.length);
  },
);

function probeOf(client: number, mail: number): Probe {
  const address = `r${client}-${mail}@probe.test`;
  return {
    number: client,
    returnPath: "sender@origin.test",
    recipients: [{ address, fate: "DELIVERED" }],
    id: null,
  };
}
