/** Caps as the receiver counts them: TCP connections that it has accepted and that are not closed on both sides. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { fakeDns } from "../support/fake-dns.ts";
import { startRelay } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";

const CAP = 3;
const MAILS = 60;

interface Host {
  readonly address: string;
  /** `busy`: it greets with 421, so that the next host is tried. */
  readonly greets: "220" | "421";
  /** `broken`: it offers STARTTLS and answers a handshake with nonsense. */
  readonly tls?: "broken";
}

/** Mail hosts on one port and several addresses, which are slow to close: they keep a connection for a while after QUIT. */
async function startHosts(hosts: readonly Host[], { closesAfterMs }: { closesAfterMs: number }) {
  const counts = { open: 0, most: 0, taken: 0 };
  const sockets = new Set<Socket>();
  const serve = (host: Host) => (socket: Socket) => {
    counts.open++;
    counts.most = Math.max(counts.most, counts.open);
    sockets.add(socket);
    socket.on("close", () => {
      counts.open--;
      sockets.delete(socket);
    });
    socket.on("error", () => socket.destroy());
    socket.write(`${host.greets} mx.example\r\n`);
    const close = (last: string): void => {
      const timer = setTimeout(() => socket.end(last), closesAfterMs);
      socket.on("close", () => clearTimeout(timer));
    };
    const offers = `250-mx.example\r\n${host.tls === "broken" ? "250-STARTTLS\r\n" : ""}250 PIPELINING\r\n`;
    let inData = false;
    let inTls = false;
    let rest = "";
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      if (inTls) return close("this is no TLS\r\n");
      rest += chunk;
      for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        if (inData && line !== ".") continue;
        if (inData) counts.taken++;
        if (/^QUIT/i.test(line)) close("221 bye\r\n");
        else if (/^DATA/i.test(line)) socket.write("354 go on\r\n");
        else
          socket.write(
            /^EHLO/i.test(line) ? offers : /^STARTTLS/i.test(line) ? "220 go on\r\n" : "250 ok\r\n",
          );
        inTls ||= /^STARTTLS/i.test(line);
        inData = /^DATA/i.test(line) && !inData;
      }
    });
  };
  const servers: Server[] = [];
  let port = 0;
  for (const host of hosts) {
    const server = createServer({ allowHalfOpen: true }, serve(host));
    await new Promise<void>((resolve) => server.listen(port, host.address, resolve));
    ({ port } = server.address() as AddressInfo);
    servers.push(server);
  }
  return {
    port,
    counts,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

async function sendAll(relays: readonly Relay[], domains: readonly string[]): Promise<void> {
  const sent = await Promise.all(
    Array.from({ length: MAILS }, async (_, i) => {
      const relay = relays[i % relays.length] as Relay;
      const recipient = address(`r${i}@${domains[i % domains.length]}`);
      return { relay, ...(await relay.submit(submission({ recipients: [recipient] }))) };
    }),
  );
  for (const { relay, messageId } of sent) {
    const { rows } = await relay.finished(messageId);
    assert.equal(rows[0]?.state, "delivered");
  }
}

describe("a receiver never has more connections than", () => {
  test("domainConfig.maxConnections, over two processes, several mail hosts, and connections that are slow to close", async () => {
    await using hosts = await startHosts(
      [
        { address: "127.0.0.21", greets: "421" },
        { address: "127.0.0.22", greets: "220" },
      ],
      { closesAfterMs: 30 },
    );
    const mx: [number, string][] = [
      [10, "first.example"],
      [20, "second.example"],
    ];
    const dns = fakeDns({
      "one.example": { mx },
      "two.example": { mx },
      "first.example": { a: ["127.0.0.21"] },
      "second.example": { a: ["127.0.0.22"] },
    });
    const folder = await mkdtemp(join(tmpdir(), "zonefleet-caps-"));
    const config = {
      zones: { default: { port: hosts.port, connectionCache: { reuseCount: 2 } } },
      domainConfig: { default: { maxConnections: CAP } },
    };
    try {
      await using one = await startRelay({ dns, config, folder });
      await using two = await startRelay({ dns, config, folder });
      await sendAll([one, two], ["one.example", "two.example"]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    assert.equal(hosts.counts.taken, MAILS);
    assert.ok(hosts.counts.most <= CAP, `${hosts.counts.most} at once`);
    assert.ok(hosts.counts.most > 1, "the cap is used");
  });

  test("the zone's connections, over all its destinations", async () => {
    await using hosts = await startHosts([{ address: "127.0.0.1", greets: "220" }], { closesAfterMs: 10 });
    const domains = ["a.example", "b.example", "c.example", "d.example", "e.example"];
    const dns = fakeDns(Object.fromEntries(domains.map((domain) => [domain, { a: ["127.0.0.1"] }])));
    const config = {
      zones: {
        default: { port: hosts.port, connections: CAP, connectionCache: { ttl: 0.2, reuseCount: 3 } },
      },
    };
    await using relay = await startRelay({ dns, config });
    await sendAll([relay], domains);
    assert.equal(hosts.counts.taken, MAILS);
    assert.ok(hosts.counts.most <= CAP, `${hosts.counts.most} at once`);
  });

  test("maxConnections, while each mail needs three connections as TLS fails in two", async () => {
    await using hosts = await startHosts([{ address: "127.0.0.1", greets: "220", tls: "broken" }], {
      closesAfterMs: 20,
    });
    const dns = fakeDns({ "one.example": { a: ["127.0.0.1"] } });
    const config = {
      zones: { default: { port: hosts.port, connectionCache: { ttl: 0 } } },
      domainConfig: { default: { maxConnections: CAP } },
    };
    await using relay = await startRelay({ dns, config });
    await sendAll([relay], ["one.example"]);
    assert.equal(hosts.counts.taken, MAILS);
    assert.ok(hosts.counts.most <= CAP, `${hosts.counts.most} at once`);
  });
});
