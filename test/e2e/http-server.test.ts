/** The local front door: what it does with HTTP itself, whatever the route. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { describe, test } from "node:test";

import { addApiKey } from "#shared/app/api-keys.ts";
import type { Submit } from "#shared/app/submission.ts";
import { MIB } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { startApiServer } from "../../sender/api-server.ts";
import { startApi } from "../support/api-harness.ts";
import { collectingSubmit } from "../support/feeder-harness.ts";

/** Send bytes as they are and read until the server closes. */
async function talk(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", () => undefined); // a reset ends it as well
  socket.write(bytes);
  await once(socket, "close");
  return Buffer.concat(chunks).toString();
}

describe("the local HTTP server", () => {
  test("answers what no route is for with 404, and another method with 405 and Allow", async () => {
    await using api = await startApi();
    const missing = await api.ask("GET", "/nothing");
    assert.deepEqual([missing.status, missing.json.code], [404, "not-found"]);
    const method = await api.ask("PATCH", "/suppressionlist");
    assert.deepEqual(
      [method.status, method.json.code, method.headers.allow],
      [405, "method-not-allowed", "DELETE, GET, HEAD, POST"],
    );
    assert.equal((await api.ask("GET", "/message/%")).status, 400);
  });

  test("answers HEAD as GET without the body", async () => {
    await using api = await startApi();
    const { status, text, headers } = await api.ask("HEAD", "/zones");
    assert.deepEqual([status, text, headers["content-type"]], [200, "", "application/json; charset=utf-8"]);
    assert.ok(Number(headers["content-length"]) > 2);
    assert.equal((await api.ask("HEAD", "/nothing")).status, 404);
  });

  test("answers by gzip who takes it", async () => {
    await using api = await startApi();
    const plain = await api.ask("GET", "/openapi.json");
    const headers = { "accept-encoding": "gzip" };
    const response = await fetch(`${api.url}/openapi.json`, { headers, signal: AbortSignal.timeout(20_000) });
    assert.equal(response.headers.get("content-encoding"), "gzip");
    assert.ok(Number(response.headers.get("content-length")) < plain.text.length / 4);
    assert.equal(await response.text(), plain.text);
  });

  test("answers what is no HTTP with 400, and headers without end with 431", async () => {
    await using api = await startApi();
    assert.match(
      await talk(api.server.port, "EHLO client.example\r\n\r\n"),
      /^HTTP\/1\.1 400 .*"code":"invalid-request"/s,
    );
    const large = `GET /zones HTTP/1.1\r\nHost: localhost\r\nX-A: ${"a".repeat(20_000)}\r\n\r\n`;
    assert.match(await talk(api.server.port, large), /^HTTP\/1\.1 431 .*"code":"too-large"/s);
    assert.equal((await api.ask("GET", "/healthz")).status, 200, "and it is still there");
  });

  test("refuses a body that says it is too large before reading it", async () => {
    await using api = await startApi({ api: { maxSize: 1_000 } });
    const head =
      "POST /send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n";
    const answer = await talk(api.server.port, head);
    assert.match(
      answer,
      /^HTTP\/1\.1 413 .*"error":"the request is larger than 1000 bytes.*"code":"too-large"/s,
    );
    assert.match(answer, /^connection: close\r$/im);
  });

  test("refuses a body of unknown length once it is too large", async () => {
    const { submit, collected } = collectingSubmit();
    await using api = await startApi({ api: { maxSize: 1_000 }, submit });
    const headers = { "content-type": "message/rfc822", "transfer-encoding": "chunked" };
    const body = `From: a@b.example\nTo: c@d.example\n\n${"x".repeat(1 * MIB)}`;
    const { status, json } = await api.ask("POST", "/send-raw", { headers, body });
    assert.deepEqual([status, json.code], [413, "too-large"]);
    assert.deepEqual(collected, []);
  });

  test("does not take a body before the key is looked at", async () => {
    await using api = await startApi();
    await addApiKey(
      { secrets: api.backend.secrets, clock: systemClock, random: randomBytes },
      { scopes: ["send"], label: "" },
    );
    const head =
      "POST /send-raw HTTP/1.1\r\nHost: localhost\r\nContent-Type: message/rfc822\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n";
    const answer = await talk(api.server.port, head);
    assert.match(answer, /^HTTP\/1\.1 401 /);
    assert.doesNotMatch(answer, /100 Continue/);
  });

  test("takes nothing of a mail whose client went away in the middle, and says nothing of a fault", async () => {
    const began = Promise.withResolvers<void>();
    const seen = Promise.withResolvers<unknown>();
    const submit: Submit = async ({ source }) => {
      try {
        for await (const _ of source) began.resolve();
      } catch (error) {
        seen.resolve(error);
        throw error;
      }
      throw new Error("half a message was taken for a whole one");
    };
    await using api = await startApi({ submit });
    const socket = connect(api.server.port, "127.0.0.1");
    socket.write(
      "POST /send-raw HTTP/1.1\r\nHost: localhost\r\nContent-Type: message/rfc822\r\nContent-Length: 1000\r\n\r\n" +
        "From: a@b.example\r\nTo: c@d.example\r\n\r\nhalf",
    );
    await began.promise;
    socket.destroy();
    assert.match(String(await seen.promise), /did not come whole/);
    assert.deepEqual(
      api.logged.filter(({ level }) => Number(level) >= 50),
      [],
    );
  });

  test("goes on when a client leaves in the middle of a large answer", async () => {
    await using api = await startApi();
    const body = `From: a@b.example\r\nTo: c@d.example\r\n\r\n${"x\r\n".repeat(7 * MIB)}`;
    const sent = await api.ask("POST", "/send-raw", { headers: { "content-type": "message/rfc822" }, body });
    for (let i = 0; i < 3; i++) {
      const leaving = request({
        port: api.server.port,
        host: "127.0.0.1",
        path: `/fetch/${sent.json.id}`,
        agent: false,
      }).end();
      const [response] = await once(leaving, "response");
      await once(response, "data");
      response.on("error", () => undefined);
      leaving.destroy();
    }
    assert.equal((await api.stored(sent.json.id)).length > 20 * MIB, true);
    assert.deepEqual(
      api.logged.filter(({ level }) => Number(level) >= 50),
      [],
    );
  });

  test("holds only so many bytes of JSON at once, and says that it is busy", async () => {
    const gate = Promise.withResolvers<void>();
    const waiting = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let count = 0;
    const { submit: collect } = collectingSubmit({ keep: false });
    const submit: Submit = async (submission) => {
      waiting[count++]?.resolve();
      await gate.promise;
      return collect({ ...submission, source: (async function* () {})() });
    };
    await using api = await startApi({ api: { maxSize: 40 * MIB }, submit });
    const body = JSON.stringify({ from: "a@b.example", to: "c@d.example", text: "x".repeat(39 * MIB) });
    const headers = { "content-type": "application/json" };
    const first = [api.ask("POST", "/send", { headers, body }), api.ask("POST", "/send", { headers, body })];
    await Promise.all(waiting.map(({ promise }) => promise));
    const refused = await api.ask("POST", "/send", { headers, body });
    assert.deepEqual(
      [refused.status, refused.json.code, refused.headers["retry-after"]],
      [503, "overloaded", "5"],
    );
    gate.resolve();
    assert.deepEqual(
      (await Promise.all(first)).map(({ status }) => status),
      [200, 200],
    );
    assert.equal(
      (await api.ask("POST", "/send", { headers, body })).status,
      200,
      "what was held is given back",
    );
  });

  test("keeps a connection for the next request", async () => {
    await using api = await startApi();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    for (let i = 0; i < 3; i++) {
      const sent = request({ port: api.server.port, host: "127.0.0.1", path: "/zones", agent }).end();
      const [response] = await once(sent, "response");
      ports.add(sent.socket?.localPort);
      response.resume();
      await once(response, "end");
      await new Promise((resolve) => setImmediate(resolve)); // the agent takes the socket back in the next turn
    }
    agent.destroy();
    assert.equal(ports.size, 1);
  });

  test("gives every answer the id of its request", async () => {
    await using api = await startApi();
    const one = (await api.ask("GET", "/zones")).headers["x-request-id"];
    const two = (await api.ask("GET", "/nothing")).headers["x-request-id"];
    assert.ok(one && two && one !== two);
  });

  test("when drained it takes no more connections, and what is in flight is answered", async () => {
    const gate = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const { submit } = collectingSubmit({
      verdict: () => {
        started.resolve();
        return gate.promise;
      },
    });
    await using api = await startApi({ submit });
    const answer = api.ask("POST", "/send", { body: { from: "a@b.example", to: "c@d.example", text: "x" } });
    await started.promise;
    const drained = api.server.drain(10_000);
    await assert.rejects(api.ask("GET", "/zones"), /ECONNREFUSED/);
    gate.resolve();
    const { status, headers } = await answer;
    assert.deepEqual([status, headers.connection], [200, "close"]);
    await drained;
  });

  test("when its grace is over it cuts what is left", async () => {
    const started = Promise.withResolvers<void>();
    const submit: Submit = () => {
      started.resolve();
      return new Promise(() => undefined);
    };
    await using api = await startApi({ submit });
    const answer = api.ask("POST", "/send", { body: { from: "a@b.example", to: "c@d.example", text: "x" } });
    const cut = assert.rejects(answer, /socket hang up|ECONNRESET/);
    await started.promise;
    await api.server.drain(1);
    await cut;
  });

  test("says so when the port is taken", async () => {
    await using api = await startApi();
    const config = { ...api.config.api, port: api.server.port };
    const { handlers } = api;
    const log = { error: () => undefined } as never;
    await assert.rejects(
      startApiServer({ config, handlers, log, clock: systemClock, reusePort: false }),
      /EADDRINUSE/,
    );
  });
});

describe("access over HTTP", () => {
  test("goes by the scopes of the key, and tells what is missing", async () => {
    await using api = await startApi();
    const deps = { secrets: api.backend.secrets, clock: systemClock, random: randomBytes };
    const { key } = await addApiKey(deps, { scopes: ["read"], label: "" });
    const headers = { Authorization: `Bearer ${key}` };
    assert.equal((await api.ask("GET", "/zones", { headers })).status, 200);
    const lacking = await api.ask("POST", "/send", { headers, body: {} });
    assert.deepEqual([lacking.status, lacking.json.code], [403, "forbidden"]);
    assert.match(lacking.json.error, /scope send/);
    const none = await api.ask("GET", "/zones");
    assert.deepEqual([none.status, none.json.code], [401, "unauthorized"]);
    assert.match(String(none.headers["www-authenticate"]), /^Bearer /);
    const wrong = await api.ask("GET", "/zones", { headers: { Authorization: `${headers.Authorization}x` } });
    assert.equal(wrong.status, 401);
    for (const path of ["/healthz", "/openapi.json"])
      assert.equal((await api.ask("GET", path)).status, 200, path);
    assert.equal((await api.ask("GET", "/metrics")).status, 401);
    assert.equal((await api.ask("GET", "/metrics", { headers })).text, "up 1\n");
  });

  test("without keys is for programs of this machine only", async () => {
    await using api = await startApi();
    assert.equal((await api.ask("GET", "/metrics")).status, 200);
    assert.equal(
      (await api.ask("GET", "/zones", { headers: { "X-Forwarded-For": "127.0.0.1" } })).status,
      401,
    );
    assert.equal((await api.ask("GET", "/zones", { headers: { Host: "rebound.example" } })).status, 401);
    assert.equal(
      (await api.ask("POST", "/send-raw", { headers: { Origin: "https://x.example" }, body: "x" })).status,
      401,
    );
  });
});

describe("GET /healthz", () => {
  test("is 503 when the store does not answer as it should", async () => {
    await using api = await startApi();
    assert.deepEqual((await api.ask("GET", "/healthz")).json, { status: "ok" });
    await using broken = await startApi();
    await broken.backend.close();
    const { status, json } = await broken.ask("GET", "/healthz");
    assert.deepEqual([status, json], [503, { status: "failing" }]);
  });
});
