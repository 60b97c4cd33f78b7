import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import { parseHeaders } from "#shared/domain/headers.ts";
import { zoneRouter } from "#shared/domain/route-recipient.ts";
import type { RoutingFacts } from "#shared/domain/route-recipient.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";

const { zones, queue } = parseConfig(
  {
    zones: {
      Named: {},
      headed: { routingHeaders: { "X-User-ID": ["17", "Jürgen"], "x-kind": "bulk" } },
      other: { routingHeaders: { "x-user-id": "18" } },
      sender: { senderDomains: ["Shop.example", "jõgeva.ee"] },
      recipient: { recipientDomains: ["partner.example"] },
      origin: { originAddresses: ["192.0.2.9", "2001:db8:0::9"] },
      closed: { disabled: true, recipientDomains: ["closed.example"] },
    },
  },
  { source: null, baseDir: "." },
);
const route = zoneRouter(zones, queue.defaultZone);

const headers = (...lines: string[]) =>
  parseHeaders(Buffer.from(`${lines.map((line) => `${line}\r\n`).join("")}\r\n`));

const nothing: RoutingFacts = {
  headerZone: null,
  directoryZone: null,
  headers: headers("Subject: x"),
  returnPathDomain: null,
  recipientDomain: "r.example" as Domain,
  originIp: null,
};

/** In the order of precedence: what each would lead to by itself. */
const steps: [what: string, facts: Partial<RoutingFacts>, zone: string][] = [
  ["the operator's directory", { directoryZone: "Other" }, "other"],
  ["X-Sending-Zone", { headerZone: "named" }, "named"],
  ["a routing header", { headers: headers("X-User-Id: 17") }, "headed"],
  ["the return path's domain", { returnPathDomain: "shop.example" as Domain }, "sender"],
  ["the recipient's domain", { recipientDomain: "partner.example" as Domain }, "recipient"],
  ["the client's address", { originIp: "192.0.2.9" }, "origin"],
];

describe("a recipient", () => {
  test("goes by the default zone when nothing leads elsewhere", () => {
    assert.equal(route(nothing), "default");
    assert.equal(zoneRouter(zones, "other" as ZoneName)(nothing), "other");
  });

  for (const [i, [what, facts, zone]] of steps.entries()) {
    const weaker = steps.slice(i + 1).map(([, lesser]) => lesser);
    test(`goes where ${what} leads, over all that comes after it`, () => {
      assert.equal(route({ ...nothing, ...facts }), zone);
      assert.equal(route({ ...nothing, ...Object.assign({}, ...weaker), ...facts }), zone);
    });
  }

  test("goes by a disabled zone too, where its mail waits", () => {
    assert.equal(route({ ...nothing, recipientDomain: "closed.example" as Domain }), "closed");
  });

  test("is routed by the exact domain, not by one above it", () => {
    assert.equal(route({ ...nothing, recipientDomain: "mail.partner.example" as Domain }), "default");
  });

  test("meets rules for a domain in any spelling", () => {
    assert.equal(route({ ...nothing, returnPathDomain: "xn--jgeva-dua.ee" as Domain }), "sender");
    assert.equal(route({ ...nothing, originIp: "2001:DB8::9" }), "origin");
    assert.equal(route({ ...nothing, originIp: "::ffff:192.0.2.9" }), "origin");
  });
});

describe("X-Sending-Zone", () => {
  test("is read without regard to case and blanks", () => {
    assert.equal(route({ ...nothing, headerZone: " NAMED " }), "named");
  });

  test("of a zone that does not exist is passed over, or the mail would wait for ever", () => {
    assert.equal(
      route({ ...nothing, headerZone: "nmaed", returnPathDomain: "shop.example" as Domain }),
      "sender",
    );
    assert.equal(route({ ...nothing, headerZone: "" }), "default");
  });
});

describe("a routing header", () => {
  test("lowest in the message wins, since those above may have been added later", () => {
    assert.equal(
      route({ ...nothing, headers: headers("X-User-ID: 18", "Subject: x", "X-Kind: bulk") }),
      "headed",
    );
    assert.equal(
      route({ ...nothing, headers: headers("X-Kind: bulk", "Subject: x", "X-User-ID: 18") }),
      "other",
    );
  });

  test("of another value is passed over", () => {
    assert.equal(route({ ...nothing, headers: headers("X-Kind: BULK", "X-User-ID: 19") }), "headed");
    assert.equal(route({ ...nothing, headers: headers("X-User-ID: 19") }), "default");
  });

  test("is compared without regard to case", () => {
    assert.equal(route({ ...nothing, headers: headers("x-USER-id:  jürgen ") }), "headed");
  });
});
