import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";

import * as loopBreaker from "#shared/core-plugins/loop-breaker.ts";
import { parseHeaders } from "#shared/domain/headers.ts";
import { headersView } from "#shared/plugins/headers.ts";
import { DroppedError } from "#shared/plugins/verdict.ts";
import type { DeliveryView } from "#shared/plugins/views.ts";
import { loaded } from "../../support/plugins.ts";

const OURS = { secret: "a cat", algo: "sha256", header: "X-Zone-Loop" };
const TO = "you@one.example";

function markOf(salt: string, to: string, { algo, secret }: { algo: string; secret: string }): string {
  return (
    salt +
    createHmac(algo, secret)
      .update(salt + to)
      .digest("hex")
  );
}

/** The header block as it is sent; null: the mail was dropped for a loop. */
async function sent(block: string, { to = TO, options = OURS } = {}): Promise<string | null> {
  const { plugins } = await loaded(loopBreaker.init, { fields: { options } });
  const headers = headersView(parseHeaders(Buffer.from(block)));
  const envelope = { from: "me@sender.example", to };
  try {
    await plugins.run("sender:headers", { id: "m1", envelope, headers } as unknown as DeliveryView, {});
    return headers.build().toString();
  } catch (error) {
    assert.ok(error instanceof DroppedError, String(error));
    assert.equal(error.description, `588 Detected routing loop for ${to}`);
    return null;
  }
}

const BLOCK = "Subject: hello\r\n";

describe("core/loop-breaker", () => {
  test("marks what is sent, each time in other words", async () => {
    const marks = [await sent(BLOCK), await sent(BLOCK)].map(
      (block) => /^X-Zone-Loop:\s+([0-9a-f]{12})([0-9a-f]{64})\r$/m.exec(block ?? "")?.slice(1) ?? [],
    );
    for (const [salt = "", hash = ""] of marks) assert.equal(salt + hash, markOf(salt, TO, OURS));
    assert.notEqual(marks[0]?.[0], marks[1]?.[0]);
  });

  test("drops what carries its mark for the same recipient, in capitals too", async () => {
    const block = await sent(BLOCK);
    assert.ok(block);
    assert.equal(await sent(block), null);
    assert.equal(
      await sent(`Received: by a host\r\n${block.replace(/Loop: .*/, (all) => all.toUpperCase())}`),
      null,
    );
  });

  test("passes marks for others, of other relays, and what is no mark", async () => {
    const block = await sent(BLOCK);
    assert.ok(block);
    assert.equal((await sent(block, { to: "them@one.example" }))?.match(/X-Zone-Loop/g)?.length, 2);
    assert.ok(await sent(block, { options: { ...OURS, secret: "a dog" } }));
    assert.ok(await sent(block, { options: { ...OURS, algo: "md5" } }));
    assert.ok(await sent(block, { options: { ...OURS, header: "X-Other" } }));
    assert.ok(await sent("X-Zone-Loop: \r\nX-Zone-Loop: =?x?=\r\n"));
  });

  test("knows ZoneMTA's marks with its algorithm", async () => {
    const options = { ...OURS, algo: "md5" };
    const mark = markOf("0123456789ab", TO, options);
    assert.equal(await sent(`X-Zone-Loop: ${mark}\r\n`, { options }), null);
  });

  test("looks at 100 marks", async () => {
    const own = `X-Zone-Loop: ${markOf("0123456789ab", TO, OURS)}\r\n`;
    const other = "X-Zone-Loop: 0123456789abcdef\r\n";
    assert.equal(await sent(other.repeat(99) + own), null);
    assert.ok(await sent(other.repeat(100) + own));
  });
});
