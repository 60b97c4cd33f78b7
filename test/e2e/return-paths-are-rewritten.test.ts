/** SRS through a whole relay. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Address } from "#shared/domain/address.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { srsReverse } from "#shared/domain/srs.ts";
import type { EpochMs } from "#shared/domain/units.ts";

import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { startRelay } from "../support/relay.ts";

const srs = { secret: "long enough", rewriteDomain: "us.example", excludeDomains: ["ours.example"] };

test(
  "mail is sent with a return path of ours that leads to its sender, who is kept as he is",
  { timeout: 30_000 },
  async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns(oneExample()),
      config: { zones: { default: { port: mx.port } }, plugins: { "core/srs": { enabled: true, ...srs } } },
    });
    for (const from of ["anna@sender.example", "ben@ours.example"]) {
      const response = await fetch(`${relay.httpUrl}/send`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ from, to: "you@one.example", subject: "Hello", text: "It works.\n" }),
      });
      const { id } = (await response.json()) as { id: MessageId };
      const { message } = await relay.finished(id);
      assert.equal(message.returnPath, from, "a DSN of ours goes to the sender himself");
    }
    const [first, second] = await mx.waitFor(2);
    const returnPath = first?.returnPath as Address;
    const ours = { secret: srs.secret, domain: srs.rewriteDomain, excludeDomains: srs.excludeDomains };
    assert.match(returnPath, /^SRS0=.*@us\.example$/);
    const back = srsReverse(returnPath, ours, Date.now() as EpochMs);
    assert.deepEqual(back, { kind: "sender", address: "anna@sender.example" });
    assert.equal(second?.returnPath, "ben@ours.example");
  },
);

test(
  "a bounce to such a return path goes on to the sender, and nobody else gets mail by an address that looks like one",
  { timeout: 30_000 },
  async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns({
        "one.example": { mx: [[10, "mx.one.example"]] },
        "sender.example": { mx: [[10, "mx.one.example"]] },
        "mx.one.example": { a: ["127.0.0.1"] },
      }),
      config: { zones: { default: { port: mx.port } }, plugins: { "core/srs": { enabled: true, ...srs } } },
    });
    const send = (from: string, to: string): Promise<Response> =>
      fetch(`${relay.httpUrl}/send`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ envelope: { from, to }, from: "a@sender.example", to, text: "It works.\n" }),
      });
    assert.equal((await send("anna@sender.example", "you@one.example")).status, 200);
    const [out] = await mx.waitFor(1);
    const returnPath = out?.returnPath ?? "";
    assert.match(returnPath, /^SRS0=/);
    assert.equal((await send("", returnPath)).status, 200);
    const [, back] = await mx.waitFor(2);
    assert.deepEqual(back?.recipients, ["anna@sender.example"]);
    const forged = await send("", returnPath.replace("=anna@", "=eve@"));
    assert.equal(forged.status, 400);
    assert.match(await forged.text(), /was not made by this server/);
    assert.equal(mx.mails.length, 2);
  },
);
