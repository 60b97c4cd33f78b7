/** Ways of recipients: ZoneMTA's words read, secrets sealed with their message, and opened for it alone. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { aesSealer, SEAL_KEY_BYTES, sealingBy } from "#shared/app/sealer.ts";
import { describeWay, openWay, readWay, sealWays } from "#shared/app/ways.ts";
import type { Message } from "#shared/domain/message.ts";
import { MAX_WAYS, PLAIN_WAY } from "#shared/domain/way.ts";
import type { Way, WayId } from "#shared/domain/way.ts";
import { message, newMessageId } from "../../support/builders.ts";

const sealer = aesSealer(randomBytes(SEAL_KEY_BYTES));
const sealing = sealingBy(async () => sealer);
const none = sealingBy(async () => null);

const relayOf = (pass: string, fields: Partial<Way> = {}): Way => ({
  ...PLAIN_WAY,
  hosts: ["relay.example"],
  port: 587,
  auth: { user: "anna", pass },
  ...fields,
});

describe("a way in ZoneMTA's words", () => {
  const read: [fields: object, way: Partial<Way>][] = [
    [{ mx: "Relay.Example" }, { hosts: ["relay.example"] }],
    [{ mx: ["b.example", "a.example"] }, { hosts: ["b.example", "a.example"] }],
    [
      {
        mx: [
          { exchange: "b.example", priority: 20 },
          { exchange: "a.example", priority: 10 },
        ],
      },
      { hosts: ["a.example", "b.example"] },
    ],
    [
      { mx: "[192.0.2.1]", mxPort: "2525" },
      { hosts: ["192.0.2.1"], port: 2525 },
    ],
    [{ mx: "[IPv6:2001:DB8::1]" }, { hosts: ["2001:db8::1"] }],
    [
      { mx: "a.example", mxAuth: { user: "u", pass: "p", other: 1 }, mxSecure: true },
      { hosts: ["a.example"], auth: { user: "u", pass: "p" }, secure: true },
    ],
    [
      { skipSRS: true, skipSTS: true },
      { skipSrs: true, skipSts: true },
    ],
    [{ useLMTP: true }, { lmtp: true }],
    [
      { http: true, targetUrl: "https://u:p@in.example/mail?key=1" },
      { http: "https://u:p@in.example/mail?key=1" },
    ],
  ];
  for (const [fields, way] of read) {
    test(`is read: ${JSON.stringify(fields)}`, () => {
      assert.deepEqual(readWay(fields), { ...PLAIN_WAY, ...way });
    });
  }

  test("is none where nothing is said, or nothing that changes anything", () => {
    const plain = [
      {},
      { sendingZone: "x" },
      { mx: null, mxPort: null },
      { skipSTS: false, http: false },
      { mx: [] },
    ];
    for (const fields of plain) assert.equal(readWay(fields), null, JSON.stringify(fields));
    assert.equal(
      readWay({ http: false, targetUrl: "https://in.example/" }),
      null,
      "the URL of a way not taken",
    );
  });

  const wrong: [fields: object, why: RegExp][] = [
    [{ mx: "no host" }, /no host/],
    [{ mx: "a.example", mxPort: 70_000 }, /mxPort/],
    [{ mx: ["a.example", "b.example", "c.example", "d.example", "e.example"] }, /mx/],
    [{ mx: "a.example", mxAuth: { user: "u", pass: "secret\r\nQUIT" } }, /mxAuth\.pass/],
    [{ mx: "a.example", mxAuth: { user: "u" } }, /mxAuth\.pass/],
    [{ mxAuth: { user: "u", pass: "p" } }, /mxAuth needs mx/],
    [{ mxPort: 2525 }, /mxPort needs mx/],
    [{ mxSecure: true }, /mxSecure needs mx/],
    [{ http: true }, /targetUrl/],
    [{ http: true, targetUrl: "ftp://in.example/" }, /targetUrl/],
    [{ http: true, targetUrl: `https://in.example/${"x".repeat(1_100)}` }, /longer than/],
  ];
  for (const [fields, why] of wrong) {
    test(`is refused when it cannot be meant: ${JSON.stringify(fields).slice(0, 90)}`, () => {
      assert.throws(
        () => readWay(fields),
        (error: Error) => why.test(error.message) && !error.message.includes("secret"),
      );
    });
  }
});

describe("ways of a message", () => {
  test("are kept once for all who share one, and nothing secret is in them in clear", async () => {
    const id = newMessageId();
    const posted: Way = { ...PLAIN_WAY, http: "https://u:hidden@in.example/mail?token=hidden" };
    const wanted = [relayOf("hidden"), null, relayOf("hidden"), posted, relayOf("hidden too")];
    const { ways, idOf } = await sealWays(wanted, id, sealing);
    const ids = wanted.map(idOf);
    assert.equal(ways?.length, 3);
    assert.equal(ids[1], null);
    assert.equal(ids[0], ids[2]);
    assert.equal(new Set(ids).size, 4, "two passwords are two ways, though they look alike");
    assert.doesNotMatch(JSON.stringify(ways), /hidden/);
    assert.equal(ways.find((way) => way.id === ids[3])?.http, "https://in.example/mail");
    const of = message({ id, ways });
    for (const [i, way] of wanted.entries())
      if (way) assert.deepEqual(await openWay(of, ids[i] as WayId, sealing), way);
  });

  test("have the same names in every message, so that mail of one relay waits in one line", async () => {
    const idFor = async (way: Way) => (await sealWays([way], newMessageId(), sealing)).idOf(way);
    assert.equal(await idFor(relayOf("secret")), await idFor(relayOf("secret")));
    assert.notEqual(await idFor(relayOf("secret")), await idFor(relayOf("secret", { port: 2525 })));
  });

  test("are told to people without what is secret", async () => {
    const wanted: Way[] = [
      relayOf("hidden", { hosts: ["a.example", "b.example"], secure: true, lmtp: true }),
      { ...PLAIN_WAY, http: "https://u:hidden@in.example/mail?token=hidden", skipSrs: true },
      { ...PLAIN_WAY, skipSts: true },
    ];
    const { ways } = await sealWays(wanted, newMessageId(), sealing);
    assert.deepEqual(ways?.map(describeWay), [
      "a.example:587 or b.example:587 as anna, TLS from the first byte, LMTP",
      "HTTP POST to https://in.example/mail, no SRS",
      "as its zone, no MTA-STS",
    ]);
  });

  test("open for no other message", async () => {
    const { ways, idOf } = await sealWays([relayOf("secret")], newMessageId(), sealing);
    const other: Message = message({ ways });
    await assert.rejects(openWay(other, idOf(relayOf("secret")) as WayId, sealing));
    await assert.rejects(openWay(message(), "~none" as WayId, sealing), /has no way/);
  });

  test("need a key only where there is something to seal", async () => {
    const plain = { ...PLAIN_WAY, hosts: ["relay.example"] };
    const { ways, idOf } = await sealWays([plain], newMessageId(), none);
    assert.deepEqual(await openWay(message({ ways }), idOf(plain) as WayId, none), plain);
    await assert.rejects(sealWays([relayOf("secret")], newMessageId(), none), /no key to seal/);
  });

  test("are so many at most", async () => {
    const many = Array.from({ length: MAX_WAYS + 1 }, (_, i) => ({ ...PLAIN_WAY, hosts: [`r${i}.example`] }));
    assert.equal((await sealWays(many.slice(1), newMessageId(), none)).ways?.length, MAX_WAYS);
    await assert.rejects(sealWays(many, newMessageId(), none), /at most 200 ways/);
  });
});
