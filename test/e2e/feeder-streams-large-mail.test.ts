/** A message of any size passes the feeder with flat memory, at the speed of whoever stores it. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import type { Submit } from "#shared/app/submission.ts";
import { GIB, KIB, MIB } from "#shared/domain/units.ts";
import { collectingSubmit, submittedOf, testFeeder } from "../support/feeder-harness.ts";

/** Lines of mail, some of them with a dot in front. */
const CHUNK = Buffer.from(`..${"x".repeat(74)}\r\n${`${"y".repeat(76)}\r\n`.repeat(9)}`.repeat(82));

/** Open a session up to 354, with no reading of replies but the last. */
async function openData(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  const commands = ["EHLO client.example", "MAIL FROM:<a@one.example>", "RCPT TO:<b@two.example>", "DATA"];
  socket.write(`${commands.join("\r\n")}\r\n`);
  await untilReply(socket, "354");
  return socket;
}

async function untilReply(socket: Socket, code: string): Promise<string> {
  let text = "";
  while (!text.includes(`\r\n${code} `) && !text.startsWith(`${code} `)) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    text += chunk.toString("latin1");
  }
  return text;
}

/** Send `count` chunks as fast as they are taken. */
async function sendChunks(socket: Socket, count: number, each: () => void = () => undefined): Promise<void> {
  for (let i = 0; i < count; i++) {
    each();
    if (!socket.write(CHUNK)) await once(socket, "drain");
  }
}

function sha256OfChunks(count: number): string {
  const hash = createHash("sha256");
  const unstuffed = Buffer.from(CHUNK.toString("latin1").replaceAll(/^\.\./gm, "."), "latin1");
  for (let i = 0; i < count; i++) hash.update(unstuffed);
  return hash.digest("hex");
}

describe("a large message", () => {
  test("of 256 MB passes unchanged and takes no memory", { timeout: 120_000 }, async () => {
    const count = Math.ceil((256 * MIB) / CHUNK.length);
    const { submit, collected } = collectingSubmit({ keep: false });
    await using feeder = await testFeeder({ submit, settings: { maxSize: GIB } });
    const socket = await openData(feeder.port);
    await sendChunks(socket, Math.ceil((16 * MIB) / CHUNK.length)); // buffers and compiled code that stay
    const before = process.memoryUsage.rss();
    let most = before;
    await sendChunks(socket, count, () => {
      most = Math.max(most, process.memoryUsage.rss());
    });
    socket.write(".\r\n");
    await untilReply(socket, "250");
    socket.destroy();
    const grown = Math.round((most - before) / MIB);
    assert.ok(grown < 96, `grew by ${grown} MiB`);
    assert.equal(collected[0]?.sha256, sha256OfChunks(count + Math.ceil((16 * MIB) / CHUNK.length)));
  });

  test("waits for a store that is slow, with little of it held", { timeout: 60_000 }, async () => {
    const go = Promise.withResolvers<void>();
    const slow: Submit = async (submission) => {
      await go.promise;
      for await (const chunk of submission.source) void chunk;
      return submittedOf(submission);
    };
    await using feeder = await testFeeder({ submit: slow, settings: { maxSize: GIB } });
    const socket = await openData(feeder.port);
    const count = Math.ceil((64 * MIB) / CHUNK.length);
    const sent = sendChunks(socket, count);
    let [earlier, taken] = [-1, 0];
    while (taken !== earlier) {
      earlier = taken;
      await sleep(250);
      taken = socket.bytesWritten - socket.writableLength;
    }
    // both ends of a connection on this machine may hold some megabytes; the rest must still be the client's
    assert.ok(taken < 32 * MIB, `${Math.round(taken / MIB)} MiB were taken of a message that nobody reads`);
    go.resolve();
    await sent;
    socket.write(".\r\n");
    await untilReply(socket, "250");
    socket.destroy();
  });

  test(
    "that is over the limit is read to its end with nothing kept, and refused",
    { timeout: 60_000 },
    async () => {
      const { submit, collected } = collectingSubmit({ keep: false });
      await using feeder = await testFeeder({ submit, settings: { maxSize: 100 * KIB } });
      const socket = await openData(feeder.port);
      const before = process.memoryUsage.rss();
      await sendChunks(socket, Math.ceil((64 * MIB) / CHUNK.length));
      socket.write(".\r\nMAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nDATA\r\n");
      assert.match(await untilReply(socket, "354"), /^552 5\.3\.4 .*\r\n250 .*\r\n250 .*\r\n354 /);
      socket.write("small\r\n.\r\n");
      await untilReply(socket, "250");
      socket.destroy();
      assert.ok(process.memoryUsage.rss() - before < 64 * MIB);
      assert.deepEqual(
        collected.map(({ bytes }) => bytes),
        [7],
      );
    },
  );
});
