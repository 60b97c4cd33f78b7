import assert from "node:assert/strict";
import { test } from "node:test";

import type { Message } from "#shared/domain/message.ts";
import type { BodyStore, ByteRange } from "#shared/ports/body-store.ts";
import { bodyAtHand } from "../../../sender/delivery/body-at-hand.ts";
import { message } from "../../support/builders.ts";

/** A store of one body, which counts how often it is asked. */
function storeOf(text: string, { isDown = false } = {}) {
  const state = { asked: 0, isDown };
  const bodies: BodyStore = {
    put: async () => 0,
    async get(_, range?: ByteRange) {
      state.asked++;
      if (state.isDown) throw new Error("the store does not answer");
      return chunksOf(text.slice(range?.from, range?.to));
    },
    delete: async () => undefined,
  };
  return { bodies, state };
}

async function* chunksOf(text: string): AsyncGenerator<Buffer> {
  for (const part of [text.slice(0, 3), text.slice(3)]) yield Buffer.from(part);
}

function sized(bytes: number): Message {
  const mail = message();
  return { ...mail, body: { ...mail.body, bytes } };
}

async function text(chunks: AsyncIterable<Buffer> | null): Promise<string> {
  assert.ok(chunks);
  return Buffer.concat(await Array.fromAsync(chunks)).toString();
}

test("a small body is read once, and its parts come from memory", async () => {
  const { bodies, state } = storeOf("From: me\r\n\r\nhello");
  const mail = sized(17);
  const ready = await bodyAtHand(mail, bodies);
  assert.equal(await text(await ready.get(mail.id)), "From: me\r\n\r\nhello");
  assert.equal(await text(await ready.get(mail.id, { from: 0, to: 8 })), "From: me");
  assert.equal(await text(await ready.get(mail.id, { from: 12, to: 99 })), "hello");
  assert.equal(state.asked, 1);
});

test("a large body is read when it is sent", async () => {
  const { bodies, state } = storeOf("large");
  const mail = sized(1_000_000);
  const ready = await bodyAtHand(mail, bodies);
  assert.equal(state.asked, 0);
  assert.equal(await text(await ready.get(mail.id)), "large");
});

test("a body that cannot be read yet is asked for again", async () => {
  const { bodies, state } = storeOf("hello", { isDown: true });
  const mail = sized(5);
  const ready = await bodyAtHand(mail, bodies);
  await assert.rejects(ready.get(mail.id));
  state.isDown = false;
  assert.equal(await text(await ready.get(mail.id)), "hello");
});
