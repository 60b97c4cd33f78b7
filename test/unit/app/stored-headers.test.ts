import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { storedHeaders } from "#shared/app/stored-headers.ts";
import type { Message } from "#shared/domain/message.ts";
import type { BodyStore, ByteRange } from "#shared/ports/body-store.ts";
import { newMessageId } from "../../support/builders.ts";

const HEADERS =
  "From: Änna <anna@example.com>, x@example.com\r\nTo: A group: ben@example.org, carl@example.org;\r\n" +
  "Subject: a\r\n fold\r\nReply-To: r@example.com\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\n";

const message = { id: newMessageId(), body: { headerBytes: Buffer.byteLength(HEADERS) } } as Message;

function bodies(get: (range?: ByteRange) => Promise<AsyncIterable<Buffer> | null>): BodyStore {
  return { get: (_, range) => get(range) } as BodyStore;
}

async function* chunked(bytes: Buffer): AsyncIterable<Buffer> {
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
}

describe("the headers of a stored message", () => {
  test("are shown as they are, with the addresses in them, and no more is read", async () => {
    const stored = Buffer.from(`${HEADERS}From: body@example.com\r\n`);
    const store = bodies(async (range) => chunked(stored.subarray(range?.from, range?.to)));
    const { headers, parsedEnvelope, date } = await storedHeaders(store, message);
    assert.deepEqual(headers?.[0], { key: "from", line: "From: Änna <anna@example.com>, x@example.com" });
    assert.deepEqual(headers?.[2], { key: "subject", line: "Subject: a\r\n fold" });
    assert.equal(headers?.length, 5);
    assert.deepEqual(parsedEnvelope, {
      from: "anna@example.com",
      to: ["ben@example.org", "carl@example.org"],
      cc: [],
      bcc: [],
      replyTo: "r@example.com",
      sender: false,
    });
    assert.equal(date, "Fri, 20 Nov 2026 10:00:00 +0000");
  });

  test("are null when the content is gone, or its store fails, and hide nothing else", async () => {
    const none = { headers: null, parsedEnvelope: null, date: null };
    assert.deepEqual(
      await storedHeaders(
        bodies(async () => null),
        message,
      ),
      none,
    );
    const failing = bodies(() => Promise.reject(new Error("no answer")));
    assert.deepEqual(await storedHeaders(failing, message), none);
  });
});
