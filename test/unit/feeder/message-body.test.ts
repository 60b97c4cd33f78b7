import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError } from "#shared/domain/errors.ts";
import { KIB, MIB } from "#shared/domain/units.ts";
import { MessageBody } from "../../../sender/feeder/message-body.ts";

async function textOf(body: MessageBody): Promise<string> {
  let text = "";
  for await (const chunk of body) text += chunk.toString();
  return text;
}

describe("a message on its way to submit", () => {
  test("comes out in order, whether the reader is early or late", async () => {
    const body = new MessageBody(MIB);
    body.push(Buffer.from("one "));
    body.push(Buffer.from("two "));
    const reading = textOf(body);
    await new Promise(setImmediate);
    body.push(Buffer.from("three"));
    body.end();
    assert.equal(await reading, "one two three");
  });

  test("stops the writer while the reader is slow, and lets him go on when there is room", async () => {
    const body = new MessageBody(10 * MIB);
    let pushed = 0;
    while (!body.full) {
      body.push(Buffer.alloc(64 * KIB));
      pushed += 1;
    }
    assert.ok(pushed * 64 * KIB <= 512 * KIB, "little is held");
    let resumed = false;
    body.whenRoom(() => {
      resumed = true;
    });
    assert.equal(resumed, false);
    await body.next();
    assert.equal(resumed, true);
  });

  test("fails its reader as soon as it is too large, and still counts what is dropped", async () => {
    const body = new MessageBody(10);
    body.push(Buffer.alloc(10));
    const reading = textOf(body);
    body.push(Buffer.alloc(1));
    await assert.rejects(
      reading,
      (error) => error instanceof DomainError && error.code === "message-too-large",
    );
    body.push(Buffer.alloc(5));
    assert.equal(body.bytes, 16);
    assert.equal(body.full, false, "nothing is held of what is dropped");
  });

  test("fails its reader when the session ends before the message does", async () => {
    const body = new MessageBody(MIB);
    body.push(Buffer.from("half"));
    const reading = textOf(body);
    await new Promise(setImmediate);
    const ended = body.untilEnded();
    body.abandon(new Error("gone"));
    await assert.rejects(reading, /gone/);
    await ended;
    await body.untilEnded();
  });

  test("is whole when the session ends after the message did", async () => {
    const body = new MessageBody(MIB);
    body.push(Buffer.from("all of it"));
    body.end();
    body.abandon(new Error("gone"));
    assert.equal(await textOf(body), "all of it");
  });

  test("lets the writer go on when the reader has had enough", async () => {
    const body = new MessageBody(10 * MIB);
    while (!body.full) body.push(Buffer.alloc(64 * KIB));
    let resumed = false;
    body.whenRoom(() => {
      resumed = true;
    });
    await body.next();
    await body.return();
    assert.equal(resumed, true);
    body.push(Buffer.alloc(MIB));
    assert.equal(body.full, false);
  });

  test("calls a client endless that goes far beyond the limit", () => {
    const body = new MessageBody(10);
    const chunk = Buffer.alloc(512 * MIB);
    body.push(chunk);
    assert.equal(body.endless, false);
    body.push(chunk);
    body.push(chunk);
    assert.equal(body.endless, true);
  });
});
