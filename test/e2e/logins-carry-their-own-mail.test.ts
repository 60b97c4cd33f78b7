/** Two tenants with logins of their own at one relay: no connection of the one carries mail of the other. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { MessageId } from "#shared/domain/ids.ts";

import { fakeDns } from "../support/fake-dns.ts";
import { startRelay } from "../support/relay.ts";
import { answering, scriptedPeer } from "../support/scripted-peer.ts";

const TENANTS = ["anna", "ben"];
const MAILS = 5;

const login = (user: string): string => Buffer.from(`\0${user}\0secret`).toString("base64");

test(
  "a connection carries mail of the zone that has logged in, though all goes to one domain",
  { timeout: 30_000 },
  async () => {
    await using peer = await scriptedPeer(
      answering({ EHLO: "250-relay\r\n250 AUTH PLAIN", AUTH: "235 2.7.0 in" }),
    );
    const zones = Object.fromEntries(
      TENANTS.map((user) => [
        user,
        {
          host: "127.0.0.1",
          port: peer.port,
          auth: { user, pass: "secret" },
          senderDomains: [`${user}.example`],
        },
      ]),
    );
    await using relay = await startRelay({ dns: fakeDns({}), config: { zones } });
    for (let mail = 0; mail < MAILS; mail++) {
      for (const user of TENANTS) {
        const response = await fetch(`${relay.httpUrl}/send`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ from: `me@${user}.example`, to: "you@one.example", text: "hello" }),
        });
        await relay.finished(((await response.json()) as { id: MessageId }).id);
      }
    }
    let carried = 0;
    for (const talk of peer.talks) {
      const said = talk.received.toString("latin1");
      const owner = TENANTS.find((user) => said.includes(`AUTH PLAIN ${login(user)}\r\n`));
      const senders = [...said.matchAll(/MAIL FROM:<me@(\w+)\.example>/g)].map(([, user]) => user);
      carried += senders.length;
      assert.deepEqual(new Set(senders), new Set([owner]));
    }
    assert.equal(carried, MAILS * TENANTS.length);
    assert.ok(peer.talks.length < carried, "connections are used again");
  },
);
