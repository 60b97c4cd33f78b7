import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { EVENT_TYPES } from "#shared/domain/event.ts";
import { HOUR } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { parse } from "../../support/config.ts";

const emailBounce = (plugin: NonNullable<ConfigInput["plugins"]>["core/email-bounce"]): ConfigInput => ({
  hostname: "mx.example.com",
  zones: { bulk: {}, reports: {} },
  plugins: { "core/email-bounce": plugin },
});
const refuses = (input: unknown, message: RegExp): void => {
  assert.throws(() => parse(input as ConfigInput), { code: "invalid-config", message });
};

describe("core/email-bounce", () => {
  test("sends reports by the zone bounces, warns after three hours, and is the same for all zones, unless told otherwise", () => {
    const { bounces } = parse({ hostname: "mx.example.com" });
    assert.equal(bounces.disabled, false);
    assert.equal(bounces.zone, "bounces");
    assert.equal(bounces.mailerDaemon.address, "mailer-daemon@mx.example.com");
    assert.deepEqual(bounces.delay, { enabled: true, afterMs: 3 * HOUR });
    assert.equal(bounces.byZone.size, 0);
    assert.deepEqual([bounces.rulesFile, bounces.rules], [null, []]);
  });

  test("takes ZoneMTA's ways to say that a plugin is on or off", () => {
    for (const [enabled, disabled] of [
      [true, false],
      [false, true],
      ["main", false],
      [["receiver", "main"], false],
      ["*", false],
      [[], true],
    ] as const)
      assert.equal(
        parse(emailBounce({ enabled: enabled as "main" })).bounces.disabled,
        disabled,
        String(enabled),
      );
    refuses(emailBounce({ enabled: "mian" as "main" }), /enabled: expected true or false or .*found "mian"/);
  });

  test("has for a zone what the zone says, and the rest from what is said for all", () => {
    const { bounces } = parse(
      emailBounce({
        sendingZone: "reports",
        zoneConfig: {
          Bulk: { mailerDaemon: { name: "B", address: "b@[HOSTNAME]" } },
          reports: { silent: true },
          default: { sendingZone: "bulk" },
        },
      }),
    );
    const of = (zone: string) => bounces.byZone.get(zone as ZoneName);
    assert.deepEqual(of("bulk"), {
      disabled: false,
      mailerDaemon: { name: "B", address: "b@mx.example.com" },
      zone: "reports",
    });
    assert.equal(of("reports")?.disabled, true);
    assert.deepEqual([of("default")?.zone, of("default")?.mailerDaemon], ["bulk", bounces.mailerDaemon]);
  });

  test("is off for every zone when it is off", () => {
    const { bounces } = parse(
      emailBounce({ enabled: false, zoneConfig: { bulk: { sendingZone: "reports" } } }),
    );
    assert.equal(bounces.byZone.get("bulk" as ZoneName)?.disabled, true);
  });

  test("passes over what is said for a zone and disabled, as ZoneMTA does, whether there is such a zone or not", () => {
    const zoneConfig = {
      bulk: { disabled: true, sendingZone: "reports" },
      myzonename: { disabled: true, sendingZone: "myzonename" },
    };
    assert.equal(parse(emailBounce({ zoneConfig })).bounces.byZone.size, 0);
  });

  test("refuses zones that are not there, and a zone told of twice", () => {
    refuses(
      emailBounce({ zoneConfig: { blk: {} } }),
      /zoneConfig\.blk: there is no zone "blk"; did you mean bulk/,
    );
    refuses(
      emailBounce({ zoneConfig: { bulk: { sendingZone: "x" } } }),
      /bulk\.sendingZone: there is no zone "x"/,
    );
    refuses(emailBounce({ zoneConfig: { bulk: {}, BULK: {} } }), /zone bulk is here twice/);
    refuses(emailBounce({ delayEmail: { after: 0 } }), /delayEmail\.after: expected at least 1/);
  });
});

describe("receivers of events", () => {
  test("are none unless they are named", () => {
    assert.deepEqual(parse({}).receivers, []);
  });

  test("are webhooks, of all types or of some, and the HTTP bounce", () => {
    const { receivers } = parse({
      webhooks: [
        { url: "https://a.example" },
        { url: "http://b.example/x?y", types: ["bounce", "bounce"], secret: "s" },
      ],
      plugins: { "core/http-bounce": { enabled: "main", url: "http://c.example/report-bounce" } },
    });
    assert.deepEqual(receivers, [
      { url: "https://a.example/", format: "json", types: EVENT_TYPES, secret: null },
      { url: "http://b.example/x?y", format: "json", types: ["bounce"], secret: "s" },
      {
        url: "http://c.example/report-bounce",
        format: "form",
        types: ["bounce", "expiry", "suppression"],
        secret: null,
      },
    ]);
  });

  test("are not told when the plugin is off, as it is unless it is on", () => {
    assert.deepEqual(parse({ plugins: { "core/http-bounce": { url: "http://c.example" } } }).receivers, []);
  });

  for (const [what, input, message] of [
    [
      "another protocol",
      { webhooks: [{ url: "ftp://a.example" }] },
      /webhooks\[0\]\.url: expected an http or https URL/,
    ],
    ["no URL", { webhooks: [{ url: "a.example" }] }, /expected an http or https URL/],
    [
      "the same twice",
      { webhooks: [{ url: "http://a.example" }, { url: "http://a.example/" }] },
      /webhooks\[1\]\.url: is here twice/,
    ],
    [
      "an unknown type",
      { webhooks: [{ url: "http://a.example", types: ["bounced"] }] },
      /webhooks\[0\]\.types\[0\]: expected "reception" or/,
    ],
    ["no type", { webhooks: [{ url: "http://a.example", types: [] }] }, /at least 1 entry/],
    [
      "too many",
      { webhooks: Array.from({ length: 21 }, (_, i) => ({ url: `http://a${i}.example` })) },
      /webhooks: expected at most 20/,
    ],
    [
      "an HTTP bounce to nowhere",
      { plugins: { "core/http-bounce": { enabled: true } } },
      /core\/http-bounce"\]\.url: is missing/,
    ],
  ] as const) {
    test(`with ${what} are refused`, () => {
      refuses(input, message);
    });
  }

  test("have secrets that no error shows", () => {
    assert.throws(
      () => parse({ webhooks: [{ url: "http://a.example", secret: 12_345 as unknown as string }] }),
      (error: Error) => !error.message.includes("12345"),
    );
  });
});
