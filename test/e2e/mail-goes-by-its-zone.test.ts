import assert from "node:assert/strict";
import { describe, test } from "node:test";

import nodemailer from "nodemailer";

import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { startRelay } from "../support/relay.ts";

const dns = fakeDns({
  "plain.example": { a: ["127.0.0.1"] },
  "partner.example": { a: ["127.0.0.1"] },
});

/** Each zone sends from an address of its own, so that the receiver sees which one it was. */
const ZONES = {
  default: "127.0.0.10",
  named: "127.0.0.11",
  headed: "127.0.0.12",
  other: "127.0.0.13",
  shop: "127.0.0.14",
  partner: "127.0.0.15",
  origin: "127.0.0.16",
} as const;
type ZoneName = keyof typeof ZONES;

const ORIGIN = "127.0.0.9";

function configFor(port: number): ConfigInput {
  const routes: Partial<Record<ZoneName, object>> = {
    headed: { routingHeaders: { "X-User-ID": "17", "X-Kind": ["bulk", "news"] } },
    other: { routingHeaders: { "x-user-id": ["18"] } },
    shop: { senderDomains: ["shop.example"] },
    partner: { recipientDomains: ["partner.example"] },
    origin: { originAddresses: [ORIGIN] },
  };
  const zones = Object.entries(ZONES).map(([name, ip]) => [
    name,
    { port, pool: [ip], ...routes[name as ZoneName] },
  ]);
  return {
    zones: Object.fromEntries(zones) as NonNullable<ConfigInput["zones"]>,
    plugins: { "core/default-headers": { allowRoutingHeaders: ["feeder"] } },
  };
}

interface Mail {
  readonly from?: string;
  readonly to?: string;
  readonly headers?: { key: string; value: string }[];
  /** The client's address. */
  readonly client?: string;
}

const header = (key: string, value: string) => ({ key, value });
const toPartner = { to: "you@partner.example" };
const fromShop = { from: "me@shop.example" };
const fromOrigin = { client: ORIGIN };

const mails: [what: string, mail: Mail, zone: ZoneName][] = [
  ["no rule", {}, "default"],
  ["the client's address", fromOrigin, "origin"],
  ["the recipient's domain over the client's address", { ...toPartner, ...fromOrigin }, "partner"],
  ["the sender's domain over the recipient's", { ...fromShop, ...toPartner, ...fromOrigin }, "shop"],
  [
    "a routing header over the sender's domain",
    { ...fromShop, headers: [header("x-kind", " NEWS ")] },
    "headed",
  ],
  [
    "X-Sending-Zone over a routing header",
    { ...fromShop, headers: [header("X-User-ID", "18"), header("X-Sending-Zone", "Named")] },
    "named",
  ],
  [
    "the next rule after a zone that does not exist",
    { ...toPartner, headers: [header("X-Sending-Zone", "nowhere")] },
    "partner",
  ],
  [
    "the lowest of two routing headers, one zone's",
    { headers: [header("X-User-ID", "18"), header("X-Kind", "bulk")] },
    "headed",
  ],
  [
    "the lowest of two routing headers, the other zone's",
    { headers: [header("X-Kind", "bulk"), header("X-User-ID", "18")] },
    "other",
  ],
  [
    "the lowest header that leads anywhere",
    { headers: [header("X-User-ID", "18"), header("X-User-ID", "99")] },
    "other",
  ],
  ["no rule, as a domain below one of them is another", { from: "me@mail.shop.example" }, "default"],
];

describe("mail goes by the zone of", () => {
  test("what comes first in ZoneMTA's order", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({ dns, config: configFor(mx.port) });
    for (const [i, [, mail]] of mails.entries()) {
      const {
        from = "me@plain.example",
        to = "you@plain.example",
        headers = [],
        client = "127.0.0.1",
      } = mail;
      const transport = nodemailer.createTransport({
        host: "127.0.0.1",
        port: relay.smtpPort,
        localAddress: client,
        name: "client.example",
      });
      await transport.sendMail({ from, to, subject: `mail ${i}`, text: "hello", headers });
    }
    const seen = await mx.waitFor(mails.length);
    const zoneOf = (subject: string): string | undefined => {
      const mail = seen.find(({ body }) => body.toString().includes(`Subject: ${subject}\r\n`));
      return Object.entries(ZONES).find(([, ip]) => ip === mail?.peer.ip)?.[0];
    };
    const went = mails.map(([what], i) => `${what}: ${zoneOf(`mail ${i}`)}`);
    assert.deepEqual(
      went,
      mails.map(([what, , zone]) => `${what}: ${zone}`),
    );
    assert.ok(!seen.some(({ body }) => body.toString().includes("X-Sending-Zone")));
  });

  test("each recipient for himself", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({ dns, config: configFor(mx.port) });
    const transport = nodemailer.createTransport({ host: "127.0.0.1", port: relay.smtpPort });
    await transport.sendMail({
      from: "me@plain.example",
      to: ["you@plain.example", "you@partner.example"],
      subject: "both",
      text: "hello",
    });
    const went = (await mx.waitFor(2)).map(({ recipients, peer }) => `${recipients[0]} ${peer.ip}`);
    assert.deepEqual(went.toSorted(), [
      `you@partner.example ${ZONES.partner}`,
      `you@plain.example ${ZONES.default}`,
    ]);
  });
});
