import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { startRelay } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";
import { eventually } from "../support/relay-process.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";

const dns = fakeDns({
  "one.example": { a: ["127.0.0.1"] },
  "two.example": { a: ["127.0.0.1"] },
  "both.example": { a: ["127.0.0.1"], aaaa: ["::1"] },
});
const pools = { out: ["127.0.0.2", "127.0.0.3"] };

async function send(relay: Relay, recipient: string, returnPath = "me@sender.example") {
  const { messageId } = await relay.submit(
    submission({ recipients: [address(recipient)], returnPath: address(returnPath) }),
  );
  return messageId;
}

/** The addresses that mails came from, in the order of their arrival. */
function peersOf(mx: FakeMx, isMeant: (recipient: string) => boolean = () => true): string[] {
  return mx.mails.filter(({ recipients }) => isMeant(recipients[0] ?? "")).map(({ peer }) => peer.ip);
}

/** Refuses every address as listed, until it is told otherwise. */
function refuseListed(mx: FakeMx): Set<string> {
  const refused = new Set<string>();
  mx.rules.recipient = (_, { peer: { ip } }) => {
    if (!refused.has(ip)) return { do: "accept" };
    return {
      do: "reply",
      code: 554,
      text: `5.7.1 Service unavailable; client host [${ip}] blocked using bl.example`,
    };
  };
  return refused;
}

describe("an address that a site has refused", () => {
  test("is used no more by any process, not after a restart either, until it is taken off the list", async () => {
    await using mx = await startFakeMx();
    const refused = refuseListed(mx);
    const folder = await mkdtemp(join(tmpdir(), "zonefleet-listed-"));
    const config: ConfigInput = {
      pools,
      zones: { default: { port: mx.port, pool: "out", poolHash: "from" } },
    };
    try {
      await using one = await startRelay({ dns, config, folder });
      await one.finished(await send(one, "first@one.example"));
      const [listed = ""] = peersOf(mx);
      refused.add(listed);
      const from = "me@sender.example"; // one address for all his mail, as long as it may be used
      await one.finished(await send(one, "second@one.example", from));
      const other = peersOf(mx)[1];
      assert.notEqual(other, listed, "tried again at once from the other address");
      refused.clear();
      await using two = await startRelay({ dns, config, folder });
      await two.finished(await send(two, "third@one.example", from));
      assert.equal(peersOf(mx)[2], other, "a process that was started since");
      await two.finished(await send(two, "elsewhere@two.example", from));
      assert.equal(peersOf(mx)[3], listed, "another site has not refused it");
      const { list } = (await (await fetch(`${one.httpUrl}/blacklist`)).json()) as {
        list: { address: string }[];
      };
      assert.deepEqual(
        list.map((entry) => entry.address),
        [listed],
      );
      await fetch(`${one.httpUrl}/blacklist`, { method: "DELETE" });
      await eventually("the other process to use it again", 10_000, async () => {
        await two.finished(await send(two, "later@one.example", from));
        return peersOf(mx).at(-1) === listed ? true : null;
      });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test("is not the last word on the mail: with none left, it waits", async () => {
    await using mx = await startFakeMx();
    const refused = refuseListed(mx);
    for (const ip of pools.out) refused.add(ip);
    await using relay = await startRelay({
      dns,
      config: { pools, zones: { default: { port: mx.port, pool: "out" } } },
    });
    const id = await send(relay, "you@one.example");
    await eventually("both addresses to be refused, and a wait", 10_000, async () => {
      const blocked = await relay.backend.limits.blocked();
      const { rows } = await relay.message(id);
      const [row] = rows;
      return blocked.length === 2 && row?.state === "deferred" && row.dueAt > Date.now() ? true : null;
    });
  });
});

describe("an address that this machine has not got", () => {
  test("is left out, and the mail goes at once from another of the pool", async () => {
    await using mx = await startFakeMx();
    const pool = ["198.51.100.77", "127.0.0.3"];
    await using relay = await startRelay({ dns, config: { zones: { default: { port: mx.port, pool } } } });
    for (let i = 0; i < 8; i++) {
      const { rows } = await relay.finished(await send(relay, `a${i}@one.example`));
      assert.deepEqual([rows[0]?.state, rows[0]?.attempts], ["delivered", 1]);
    }
    assert.deepEqual(new Set(peersOf(mx)), new Set(["127.0.0.3"]));
  });

  test("is named when there is no other", async () => {
    await using mx = await startFakeMx();
    const zones = { default: { port: mx.port, pool: ["198.51.100.77", "198.51.100.78"] } };
    await using relay = await startRelay({ dns, config: { zones } });
    for (const to of ["first@one.example", "second@one.example"]) {
      const id = await send(relay, to);
      const row = await eventually("a deferral", 10_000, async () => {
        const { rows } = await relay.message(id);
        return rows[0]?.state === "deferred" ? rows[0] : null;
      });
      assert.match(row.lastAttempt?.detail ?? "", /198\.51\.100\.7[78].*EADDRNOTAVAIL/);
    }
  });
});

describe("the addresses of a destination", () => {
  test("are none that domainConfig disables, of the domain or of all", async () => {
    await using mx = await startFakeMx();
    const config: ConfigInput = {
      pools,
      zones: { default: { port: mx.port, pool: "out" } },
      domainConfig: {
        default: { disabledAddresses: ["127.0.0.2"] },
        "two.example": { disabledAddresses: ["127.0.0.3"] },
      },
    };
    await using relay = await startRelay({ dns, config });
    for (let i = 0; i < 6; i++) {
      await relay.finished(await send(relay, `a${i}@one.example`));
      await relay.finished(await send(relay, `b${i}@two.example`));
    }
    assert.deepEqual(new Set(peersOf(mx, (to) => to.endsWith("@one.example"))), new Set(["127.0.0.3"]));
    assert.deepEqual(new Set(peersOf(mx, (to) => to.endsWith("@two.example"))), new Set(["127.0.0.2"]));
  });

  test("are one for each sender with poolHash from, and both for many senders", async () => {
    await using mx = await startFakeMx();
    const config: ConfigInput = {
      pools,
      zones: { default: { port: mx.port, pool: "out", poolHash: "from" } },
    };
    await using relay = await startRelay({ dns, config });
    for (let i = 0; i < 4; i++)
      await relay.finished(await send(relay, `a${i}@one.example`, "same@sender.example"));
    assert.equal(new Set(peersOf(mx)).size, 1);
    const ids = await Promise.all(
      Array.from({ length: 20 }, (_, i) => send(relay, `b${i}@one.example`, `s${i}@x.example`)),
    );
    for (const id of ids) await relay.finished(id);
    assert.equal(new Set(peersOf(mx)).size, 2);
  });

  test("are of IPv6 where dnsOptions of the domain prefer it, and the zone does not use it", async () => {
    await using six = await startFakeMx({ host: "::1" });
    await using four = await startFakeMx({ port: six.port });
    const zones = { default: { port: six.port } };
    await using usual = await startRelay({ dns, config: { zones } });
    await usual.finished(await send(usual, "you@both.example"));
    assert.deepEqual([four.mails.length, six.mails.length], [1, 0]);
    const domainConfig = { "both.example": { dnsOptions: { preferIPv6: true } } };
    await using relay = await startRelay({ dns, config: { zones, domainConfig } });
    await relay.finished(await send(relay, "you@both.example"));
    assert.deepEqual([four.mails.length, six.mails.length], [1, 1]);
    const pool = ["127.0.0.2", "::1"];
    await using pooled = await startRelay({
      dns,
      config: { zones: { default: { port: six.port, pool, preferIPv6: true } } },
    });
    await pooled.finished(await send(pooled, "you@both.example"));
    assert.equal(six.mails[1]?.peer.ip, "::1");
  });
});
