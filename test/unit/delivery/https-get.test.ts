import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:https";
import type { ServerOptions } from "node:https";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";

import { httpsGet } from "../../../sender/delivery/https-get.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { TEST_CERT, TEST_KEY } from "../../support/scripted-peer.ts";

const page = { host: "mx.one.example", path: "/policy.txt", maxBytes: 1_000, timeoutMs: 10_000 };

async function webServer(answer: RequestListener, options: ServerOptions = {}) {
  const asked: string[] = [];
  const server = createServer({ key: TEST_KEY, cert: TEST_CERT, ...options }, (request, response) => {
    asked.push(`${request.method} ${request.headers.host} ${request.url}`);
    answer(request, response);
  });
  server.on("tlsClientError", () => undefined).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const get = httpsGet({ clock: systemClock, lookUp: async () => ["127.0.0.1"], port });
  return {
    asked,
    port,
    get,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

describe("a page over HTTPS", { timeout: 20_000 }, () => {
  const usual = getCACertificates("default");
  before(() => setDefaultCACertificates([TEST_CERT]));
  after(() => setDefaultCACertificates(usual));

  test("comes with its status and type", async () => {
    await using web = await webServer((_, response) => {
      response.writeHead(200, { "content-type": "text/plain" }).end("hello");
    });
    const answer = await web.get(page);
    assert.deepEqual(answer, { kind: "answered", status: 200, contentType: "text/plain", body: "hello" });
    assert.deepEqual(web.asked, ["GET mx.one.example /policy.txt"]);
  });

  test("is not looked for where a redirect points", async () => {
    await using web = await webServer((request, response) => {
      response.writeHead(302, { location: `https://${request.headers.host}/elsewhere` }).end();
    });
    const answer = await web.get(page);
    assert.equal(answer.kind === "answered" && answer.status, 302);
    assert.equal(web.asked.length, 1);
  });

  test("may have as many bytes as are allowed, and no more", async () => {
    await using web = await webServer((request, response) => {
      response.end("x".repeat(request.url === "/more" ? 1_001 : 1_000));
    });
    const fits = await web.get(page);
    assert.equal(fits.kind === "answered" && fits.body.length, 1_000);
    const more = await web.get({ ...page, path: "/more" });
    assert.match(more.kind === "failed" ? more.detail : "", /larger than 1000 bytes/);
  });

  test("is not taken from a server without a certificate for its name", async () => {
    await using web = await webServer((_, response) => void response.end("hello"));
    const answer = await web.get({ ...page, host: "other.example" });
    assert.deepEqual(answer, { kind: "failed", detail: "ERR_TLS_CERT_ALTNAME_INVALID" });
    assert.deepEqual(web.asked, []);
  });

  test("is not taken from a server whose certificate nobody vouches for", async () => {
    await using web = await webServer((_, response) => void response.end("hello"));
    setDefaultCACertificates([]);
    const answer = await web.get(page);
    setDefaultCACertificates([TEST_CERT]);
    assert.match(answer.kind === "failed" ? answer.detail : "", /SELF_SIGNED|UNABLE_TO/);
    assert.deepEqual(web.asked, []);
  });

  test("is given up when the time is over, though bytes still come", async () => {
    let heard = (): void => undefined;
    const started = new Promise<void>((resolve) => {
      heard = resolve;
    });
    await using web = await webServer((_, response) => {
      response.write("hel");
      heard();
    });
    const clock = fakeClock();
    const get = httpsGet({ clock, lookUp: async () => ["127.0.0.1"], port: web.port });
    const asked = get(page);
    await started;
    await clock.advance(10_000);
    assert.deepEqual(await asked, { kind: "failed", detail: "no whole answer in 10000 ms" });
  });

  test("is not to be had of a host that has no address", async () => {
    const get = httpsGet({
      clock: systemClock,
      lookUp: () => Promise.reject(new Error("it does not exist")),
    });
    assert.deepEqual(await get(page), { kind: "failed", detail: "it does not exist" });
  });
});
