import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";

import type { GelfConfig } from "#shared/domain/config.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { createLog } from "#shared/runtime/log.ts";
import { chunksOf, gelfMessage, gelfStream } from "../../../sender/remote-log/gelf.ts";

function gelfOf(gelf: object): GelfConfig {
  const config = parseConfig({ hostname: "relay.example", log: { gelf } }, { source: null, baseDir: "/" });
  assert.ok(config.log.gelf);
  return config.log.gelf;
}

const config = gelfOf({ enabled: true });

/** The messages of what `write` logs, as a Graylog server reads them. */
function sent(gelf: GelfConfig, write: (log: ReturnType<typeof createLog>) => void) {
  const messages: Record<string, unknown>[] = [];
  const datagrams = {
    send: (bytes: Uint8Array) =>
      void messages.push(JSON.parse(gunzipSync(bytes).toString()) as Record<string, unknown>),
    close: () => undefined,
  };
  const lines: string[] = [];
  const also = { stream: gelfStream(gelf, datagrams), level: gelf.level };
  write(createLog({ level: "info", also }, { write: (line: string) => void lines.push(line) }));
  return { messages, lines };
}

describe("a line of the log in GELF", () => {
  test("has version, host, ZoneMTA's code, severity of syslog and time in seconds", () => {
    const { messages } = sent(config, (log) =>
      log.error({ component: "supervisor", workerPid: 7, end: { code: 1 }, id: "x" }, "worker died"),
    );
    const [message = {}] = messages;
    assert.equal(message["version"], "1.1");
    assert.equal(message["host"], "relay.example");
    assert.equal(message["short_message"], "MTA [SENDER_EXITED] worker died");
    assert.equal(message["level"], 3);
    assert.ok(Math.abs(Number(message["timestamp"]) - Date.now() / 1_000) < 60);
    assert.equal(message["_workerPid"], 7);
    assert.equal(message["_end"], '{"code":1}');
    assert.equal(message["_mail_id"], "x");
    assert.ok(
      Object.keys(message).every((name) => name !== "_id"),
      "GELF forbids the name",
    );
  });

  test("has the stack of an error beneath, and a code of our own where ZoneMTA has none", () => {
    const { messages } = sent(config, (log) =>
      log.error({ component: "heartbeat", err: new Error("no disk") }, "failed"),
    );
    assert.equal(messages[0]?.["short_message"], "MTA [HEARTBEAT_FAILED] failed");
    assert.match(
      String(messages[0]?.["full_message"]),
      /^MTA \[HEARTBEAT_FAILED\] failed\nError: no disk\n\s+at /,
    );
  });

  test("is sent from its level on, and written to standard output whatever that is", () => {
    const { messages, lines } = sent(config, (log) => {
      log.info({ event: "QUEUED" }, "message queued");
      log.warn("late");
    });
    assert.equal(lines.length, 2);
    assert.deepEqual(
      messages.map((one) => one["short_message"]),
      ["MTA [LATE] late"],
    );
    const all = sent(gelfOf({ enabled: true, level: "info", component: "relay" }), (log) =>
      log.info({ event: "QUEUED" }, "message queued"),
    );
    assert.deepEqual(
      all.messages.map((one) => one["short_message"]),
      ["RELAY [QUEUED] message queued"],
    );
  });

  test("has no secret in it", () => {
    const { messages } = sent(config, (log) => log.warn({ auth: { password: "hunter2" } }, "odd"));
    assert.doesNotMatch(JSON.stringify(messages), /hunter2/);
  });

  test("goes by the name that is configured", () => {
    const named = gelfMessage(
      { level: "warn", time: "2026-01-02T03:04:05.500Z", msg: "x" },
      gelfOf({ enabled: true, hostname: "mx1" }),
    );
    assert.equal(named.host, "mx1");
    assert.equal(named.timestamp, 1_767_323_045.5);
  });
});

describe("chunks", () => {
  const id = Buffer.from("0123456789abcdef", "hex");

  test("are made of what is larger than a datagram: magic bytes, id, number, count", () => {
    const chunks = chunksOf(Buffer.from("abcdefghijklmnopqrst"), 19, id);
    assert.deepEqual(
      chunks.map((chunk) => chunk.toString("hex")),
      [
        "1e0f0123456789abcdef000361626364656667",
        "1e0f0123456789abcdef010368696a6b6c6d6e",
        "1e0f0123456789abcdef02036f7071727374",
      ],
    );
  });

  test("are not made of what fits, nor of what is over GELF's 128", () => {
    assert.deepEqual(chunksOf(Buffer.from("abc"), 3, id), [Buffer.from("abc")]);
    assert.equal(chunksOf(Buffer.alloc(128 * 3), 15, id).length, 128);
    assert.deepEqual(chunksOf(Buffer.alloc(128 * 3 + 1), 15, id), []);
  });

  test("are as long as the network is said to carry", () => {
    const { chunkBytes } = gelfOf({ enabled: true, options: { connection: "wan" } });
    assert.ok(chunksOf(Buffer.alloc(100_000), chunkBytes).every((chunk) => chunk.length <= 1_420));
  });
});
