import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MIB } from "#shared/domain/units.ts";

import { answering, scriptedPeer, SILENCE } from "../../support/scripted-peer.ts";
import type { Script, Talk } from "../../support/scripted-peer.ts";
import { HEAD, inShort, send, sessionTo, timeouts } from "../../support/smtp-session.ts";

const LINE = Buffer.from(`.${"x".repeat(61)}\r\n`);
const STUFFED = Buffer.concat([Buffer.from("."), LINE]);

/** Everything up to DATA, and the peer's own way to go on. */
function upToData(goOn: (talk: Talk) => Promise<void>): Script {
  return async (talk) => {
    talk.say("220 hi");
    await talk.line();
    talk.say("250 peer");
    for (const reply of ["250 ok", "250 ok"]) {
      await talk.line();
      talk.say(reply);
    }
    await talk.line();
    await goOn(talk);
  };
}

async function* chunked(lines: number, perChunk: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < lines; at += perChunk)
    yield Buffer.concat(Array.from({ length: perChunk }, () => LINE));
}

/** A source that gives a chunk and then never another, and says when it was let go. */
function stuck(): { chunks: AsyncIterable<Buffer>; released: Promise<void> } {
  const { promise: released, resolve } = Promise.withResolvers<void>();
  let given = false;
  const iterator: AsyncIterator<Buffer> = {
    next: () => {
      if (given) return new Promise(() => undefined);
      given = true;
      return Promise.resolve({ done: false, value: LINE });
    },
    return: () => {
      resolve();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
  return { chunks: { [Symbol.asyncIterator]: () => iterator }, released };
}

describe("the content", () => {
  test("arrives whole when it is large, from a stream and from an array", async () => {
    const lines = (4 * MIB) / LINE.length;
    const expected = Buffer.concat([
      HEAD,
      ...Array.from({ length: lines }, () => STUFFED),
      Buffer.from(".\r\n"),
    ]);
    const array: Buffer[] = [];
    for await (const chunk of chunked(lines, 1_024)) array.push(chunk);
    for (const chunks of [chunked(lines, 1_024), array, [Buffer.concat(array)]]) {
      await using peer = await scriptedPeer(answering());
      const session = await sessionTo(peer.port);
      const { outcomes } = await send(session, { chunks, bytes: 4 * MIB });
      session.quit();
      assert.deepEqual(inShort(outcomes), ["delivered 250"]);
      assert.ok(peer.contents[0]?.equals(expected));
    }
  });

  test("arrives whole when it comes byte by byte, or is empty", async () => {
    async function* bytes(): AsyncGenerator<Buffer> {
      for (const byte of LINE) yield Buffer.of(byte);
    }
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port);
    await send(session, { chunks: bytes(), head: Buffer.alloc(0) });
    await send(session, { chunks: [], head: Buffer.alloc(0) });
    session.quit();
    assert.deepEqual(peer.contents.map(String), [`${STUFFED.toString()}.\r\n`, ".\r\n"]);
  });

  test("waits for a peer that does not read, and no longer than for one block", async () => {
    let pulled = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (const chunk = Buffer.alloc(65_536, "x"); ; pulled += chunk.length) yield chunk;
    }
    await using peer = await scriptedPeer(
      upToData(async (talk) => {
        talk.deafen();
        talk.say("354 go");
      }),
    );
    const session = await sessionTo(peer.port, {}, { timeouts: timeouts({ block: 100 }) });
    const { outcomes, sessionUsable } = await send(session, { chunks: endless() });
    assert.deepEqual(inShort(outcomes), ["deferred timeout"]);
    assert.equal(sessionUsable, false);
    assert.ok(pulled < 64 * MIB, `${pulled} bytes were read ahead of a peer that takes none`);
  });

  test("stops at a refusal in the middle, which is the peer's word on the mail", async () => {
    for (const [reply, fate] of [
      ["552 5.3.4 too big", "bounced reply 552"],
      ["451 4.3.0 scanner down", "deferred reply 451"],
      ["421 4.3.2 bye", "deferred reply 421"],
      ["250 2.0.0 taken", "deferred protocol 250"],
    ] as const) {
      await using peer = await scriptedPeer(
        upToData(async (talk) => {
          talk.say("354 go");
          await talk.bytes(talk.received.length + 100_000);
          talk.say(reply);
        }),
      );
      async function* stream(): AsyncGenerator<Buffer> {
        for (;;) yield Buffer.alloc(65_536, "x");
      }
      function* inMemory(): Generator<Buffer> {
        for (;;) yield Buffer.alloc(65_536, "x");
      }
      for (const chunks of [stream(), inMemory()]) {
        const session = await sessionTo(peer.port);
        const { outcomes, sessionUsable } = await send(session, { chunks });
        assert.deepEqual(inShort(outcomes), [fate]);
        assert.equal(sessionUsable, false);
      }
    }
  });

  test("a reply that comes with 354 is never taken for the answer to the final dot", async () => {
    await using peer = await scriptedPeer(
      upToData(async (talk) => {
        talk.say("354 go\r\n250 2.0.0 taken");
        await talk.end();
      }),
    );
    const session = await sessionTo(peer.port);
    assert.deepEqual(inShort((await send(session)).outcomes), ["deferred protocol 250"]);
    assert.ok(!peer.talks[0]?.received.includes("\r\n.\r\n"));
  });

  test("is left without its dot when the peer hangs up in the middle", async () => {
    await using peer = await scriptedPeer(
      upToData(async (talk) => {
        talk.say("354 go");
        await talk.bytes(talk.received.length + 50_000);
        talk.reset();
      }),
    );
    const session = await sessionTo(peer.port);
    const { outcomes } = await send(session, { chunks: chunked(100_000, 1_024) });
    assert.deepEqual(inShort(outcomes), ["deferred protocol"]);
  });

  test("that cannot be read defers over our own fault, and is left without its dot", async () => {
    // oxlint-disable-next-line require-yield
    async function* broken(): AsyncGenerator<Buffer> {
      throw new Error("disk on fire");
    }
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port);
    const { outcomes, sessionUsable, tryNextHost } = await send(session, {
      chunks: broken(),
      to: ["anna", "ben"],
    });
    await peer.talks[0]?.end();
    assert.deepEqual(inShort(outcomes), ["deferred internal", "deferred internal"]);
    assert.match(outcomes[0]?.kind === "deferred" ? outcomes[0].detail : "", /disk on fire/);
    assert.deepEqual([sessionUsable, tryNextHost], [false, false]);
    assert.deepEqual(peer.contents, []);
  });

  test("that our store does not give in time defers over our own fault, and is let go", async () => {
    const source = stuck();
    await using peer = await scriptedPeer(answering());
    const session = await sessionTo(peer.port, {}, { timeouts: timeouts({ block: 20 }) });
    const { outcomes } = await send(session, { chunks: source.chunks });
    await source.released;
    assert.deepEqual(inShort(outcomes), ["deferred internal"]);
  });

  test("is given up when the caller's signal aborts", async () => {
    const source = stuck();
    const caller = new AbortController();
    await using peer = await scriptedPeer(
      upToData(async (talk) => {
        talk.say("354 go");
        caller.abort();
        await talk.end();
      }),
    );
    const session = await sessionTo(peer.port);
    const { outcomes } = await send(session, { chunks: source.chunks, signal: caller.signal });
    assert.deepEqual(inShort(outcomes), ["deferred internal"]);
  });

  test("a signal that aborts after the final dot leaves it ambiguous; a deadline before is a timeout", async () => {
    const caller = new AbortController();
    await using peer = await scriptedPeer(
      upToData(async (talk) => {
        talk.say("354 go");
        await talk.content();
        caller.abort();
        await talk.end();
      }),
      answering({ MAIL: SILENCE }),
    );
    const first = await send(await sessionTo(peer.port), { signal: caller.signal });
    assert.deepEqual(inShort(first.outcomes), ["deferred ambiguous"]);
    const second = await send(await sessionTo(peer.port), { signal: AbortSignal.timeout(20) });
    assert.deepEqual(inShort(second.outcomes), ["deferred timeout"]);
  });
});
