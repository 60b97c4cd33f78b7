import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";

import { openScan } from "#shared/core-plugins/scan.ts";

test("what a scanner said before it broke off is its verdict", async () => {
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
  const said = Promise.withResolvers<string>();
  const scan = openScan({
    sink,
    verdict: said.promise.then((reply) => reply.trim()),
    send: (chunk) => sink.write(chunk),
    finish: () => sink.end(),
    timeoutMs: 10_000,
  });
  await scan.write(Buffer.from("first"));
  // as a socket does it, of which both are read in one turn of the event loop
  setImmediate(() => {
    said.resolve("too large\n");
    sink.destroy(new Error("EPIPE"));
  });
  assert.equal(await scan.verdict, "too large");
});

test("a scanner that breaks off in silence has failed", async () => {
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
  const scan = openScan({
    sink,
    verdict: new Promise<string>(() => undefined),
    send: (chunk) => sink.write(chunk),
    finish: () => sink.end(),
    timeoutMs: 10_000,
  });
  sink.destroy(new Error("EPIPE"));
  await assert.rejects(scan.verdict, /EPIPE/);
});
