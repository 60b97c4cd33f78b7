import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";

import type { Zone } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";

import { deliver } from "../../../sender/delivery/deliver.ts";
import type { DeliverDeps } from "../../../sender/delivery/deliver.ts";
import type { Job } from "../../../sender/delivery/job.ts";
import { DEFAULT_TIMEOUTS } from "../../../sender/delivery/timeouts.ts";
import type { Timeouts } from "../../../sender/delivery/timeouts.ts";
import { address, anna, message, queueRow } from "../../support/builders.ts";
import { chunksOf } from "../../support/bytes.ts";
import { TEST_CERT, TEST_KEY } from "../../support/scripted-peer.ts";
import { inShort } from "../../support/smtp-session.ts";

const usual = parseConfig({}, { source: null, baseDir: "/" }).zones.values().next().value as Zone;

const HEAD = "Received: by us.example\r\n";
const HEADERS = [
  "From: =?utf-8?q?J=C3=B6rg?= <jo@sender.example>",
  "To: Anna <anna@one.example>, friends: ben@two.example, Carl <carl@three.example>;",
  "Cc: dora@four.example",
  "Reply-To: reply@sender.example",
  "In-Reply-To: <before@one.example>",
  "References: <first@one.example>",
  " <before@one.example>",
  "Date: Fri, 02 Jan 2026 03:04:05 +0000",
  "Message-ID: <id@sender.example>",
  "Subject: =?utf-8?b?R3LDvMOfZQ==?= and more",
  "",
  "",
].join("\r\n");
const MAIL = `${HEADERS}hello\r\n--boundary--\r\n\x00\xff`;

interface Upload {
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly form: FormData;
}

type Answer = number | ((request: IncomingMessage, response: ServerResponse) => void);

/** A server that reads each mail and answers in turn; what is a function does it all by itself. */
async function receiver(...answers: readonly Answer[]) {
  const uploads: Upload[] = [];
  let count = 0;
  const server = createServer((request, response) => {
    const answer = answers[Math.min(count++, answers.length - 1)] ?? 200;
    if (typeof answer === "function") return answer(request, response);
    void read(request).then((upload) => {
      uploads.push(upload);
      response.writeHead(answer, answer === 302 ? { location: "/elsewhere" } : {}).end("thanks");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/in?key=secret`,
    uploads,
    get asked() {
      return count;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

async function read(request: IncomingMessage): Promise<Upload> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const headers = { "content-type": request.headers["content-type"] ?? "" };
  return { request, body, form: await new Response(body, { headers }).formData() };
}

interface Sending {
  readonly mail?: string;
  readonly bytes?: number;
  readonly stored?: (from: number, to: number) => AsyncIterable<Buffer>;
  readonly to?: readonly string[];
  readonly timeouts?: Partial<Timeouts>;
  readonly signal?: AbortSignal;
  readonly returnPath?: string | null;
  readonly beforeDot?: () => Promise<void> | null;
}

async function send(url: string, sending: Sending = {}) {
  const {
    mail = MAIL,
    to = ["anna@one.example"],
    timeouts = {},
    returnPath = "bounce@sender.example",
  } = sending;
  const bytes = Buffer.from(mail, "latin1");
  const stored =
    sending.stored ?? ((from: number, until: number) => chunksOf(bytes.subarray(from, until), [7, 50]));
  const body = {
    bytes: sending.bytes ?? bytes.length,
    headerBytes: Buffer.byteLength(HEADERS),
    dkimBodyHash: null,
    eightBit: true,
  };
  const sent = message({ body, returnPath: returnPath === null ? null : address(returnPath) });
  const errors: unknown[] = [];
  const deps: DeliverDeps = {
    bodies: {
      put: () => Promise.resolve(0),
      get: async (_, range = { from: 0, to: Infinity }) => stored(range.from, range.to),
      delete: () => Promise.resolve(),
    },
    signer: { sign: async () => Buffer.from(HEAD) },
    returnPathOf: ({ returnPath }) => returnPath,
    connectOptions: { timeouts: { ...DEFAULT_TIMEOUTS, ...timeouts } },
    isForbidden: () => false,
    placeOf: () => null,
    onEgressUnusable: () => assert.fail("no egress address is bound"),
    hooks: null,
    onInternalError: (_, error) => errors.push(error),
  };
  const job: Job = {
    zone: usual,
    message: sent,
    leases: to.map((recipient, i) => ({
      row: queueRow(sent, i + 1, { recipient: address(recipient) }),
      token: 1,
      worker: anna,
      until: sent.acceptedAt,
    })),
    site: new URL(url).host,
    hosts: [],
    relay: null,
    http: { url, userAgent: "us/1" },
    way: null,
    skipSrs: false,
    sts: null,
    egressKey: "",
  };
  const { signal = new AbortController().signal, beforeDot = () => null } = sending;
  const delivered = await deliver(job, null, deps, { signal, beforeDot });
  const [first] = delivered.outcomes;
  const detail = first && first.kind !== "delivered" ? first.detail : "";
  return { ...delivered, inShort: inShort(delivered.outcomes), detail, errors, id: sent.id };
}

describe("a mail by HTTP", { timeout: 30_000 }, () => {
  test("is a form with ZoneMTA's fields, read by an independent parser", async () => {
    await using server = await receiver(200);
    const { inShort: fates, id, outcomes } = await send(server.url);
    assert.deepEqual(fates, ["delivered 250"]);
    assert.equal(outcomes[0]?.route.peer, "127.0.0.1");
    const upload = server.uploads[0] as Upload;
    const { form, request, body } = upload;
    assert.equal(request.method, "POST");
    assert.equal(request.url, "/in?key=secret");
    assert.equal(request.headers["user-agent"], "us/1");
    assert.equal(Number(request.headers["content-length"]), body.length);
    const file = form.get("message") as File;
    const fields = Object.fromEntries([...form].filter(([, value]) => typeof value === "string"));
    const text = fields["mail_to_http[body]"];
    delete fields["mail_to_http[body]"];
    assert.deepEqual(fields, {
      id: `${id}.001`,
      from: "bounce@sender.example",
      to: "anna@one.example",
      "headers[from]": '{"name":"Jörg","address":"jo@sender.example"}',
      "headers[to]":
        '[{"name":"Anna","address":"anna@one.example"},{"name":"","address":"ben@two.example"},{"name":"Carl","address":"carl@three.example"}]',
      "headers[cc]": '[{"name":"","address":"dora@four.example"}]',
      "headers[reply_to]": '{"name":"","address":"reply@sender.example"}',
      "headers[in_reply_to]": '"<before@one.example>"',
      "headers[references]": '"<first@one.example> <before@one.example>"',
      "headers[date]": '"Fri, 02 Jan 2026 03:04:05 +0000"',
      "headers[message_id]": '"<id@sender.example>"',
      "headers[subject]": '"Grüße and more"',
      "mail_to_http[from]": "bounce@sender.example",
      "mail_to_http[rcpt]": "anna@one.example",
      "mail_to_http[real_length]": String(HEAD.length + Buffer.byteLength(MAIL, "latin1")),
    });
    assert.equal(file.name, `${id}.eml`);
    assert.equal(file.type, "message/rfc822");
    assert.equal(Buffer.from(await file.arrayBuffer()).toString("latin1"), HEAD + MAIL);
    assert.equal(text, Buffer.from(HEAD + MAIL, "latin1").toString("utf8"));
  });

  test("has an empty sender when it is a bounce", async () => {
    await using server = await receiver(200);
    await send(server.url, { returnPath: null });
    assert.equal(server.uploads[0]?.form.get("from"), "");
  });

  test("stays delivered to those who have it when it cannot be read for the next one", async () => {
    await using server = await receiver(200);
    let reads = 0;
    const stored = (from: number, until: number): AsyncIterable<Buffer> => {
      if (server.uploads.length > 0 && reads++ === 0) throw new Error("the store does not answer");
      return chunksOf(Buffer.from(MAIL, "latin1").subarray(from, until), [7, 50]);
    };
    const to = ["anna@one.example", "ben@one.example", "carl@one.example"];
    const { inShort: fates, errors } = await send(server.url, { to, stored });
    assert.deepEqual(fates, ["delivered 250", "deferred internal", "delivered 250"]);
    assert.equal(errors.length, 1);
  });

  test("is posted to nobody more once its lease went to another worker", async () => {
    await using server = await receiver(200);
    const beforeDot = (): Promise<void> | null =>
      server.uploads.length === 0 ? null : Promise.reject(new Error("the lease of a row went to another"));
    const to = ["anna@one.example", "ben@one.example"];
    const { inShort: fates } = await send(server.url, { to, beforeDot });
    assert.deepEqual(fates, ["delivered 250", "deferred internal"]);
    assert.equal(server.uploads.length, 1);
  });

  test("is posted once for each recipient", async () => {
    await using server = await receiver(200, 404, 503);
    const to = ["anna@one.example", "ben@one.example", "carl@one.example"];
    const { inShort: fates } = await send(server.url, { to });
    assert.deepEqual(fates, ["delivered 250", "bounced http", "deferred http"]);
    assert.deepEqual(
      server.uploads.map(({ form }) => form.get("to")),
      to,
    );
  });

  for (const [status, fate] of [
    [200, "delivered 250"],
    [202, "delivered 250"],
    [204, "delivered 250"],
    [302, "deferred http"],
    [304, "deferred http"],
    [400, "bounced http"],
    [404, "bounced http"],
    [408, "deferred http"],
    [413, "bounced http"],
    [429, "deferred http"],
    [500, "deferred http"],
    [503, "deferred http"],
  ] as const) {
    test(`that is answered ${status} is ${fate}, and no redirect is followed`, async () => {
      await using server = await receiver(status);
      const { inShort: fates, detail, siteDown } = await send(server.url);
      assert.deepEqual(fates, [fate]);
      assert.equal(siteDown, false);
      assert.equal(server.asked, 1);
      assert.ok(!detail.includes("secret"), "the query may have a key in it");
    });
  }

  test("goes with the user and password of the URL", async () => {
    await using server = await receiver(200);
    await send(server.url.replace("http://", "http://anna:p%20w@"));
    const basic = Buffer.from("anna:p w").toString("base64");
    assert.equal(server.uploads[0]?.request.headers.authorization, `Basic ${basic}`);
  });

  test("waits when nobody listens, and so do the others", async () => {
    const server = await receiver(200);
    await server[Symbol.asyncDispose]();
    const to = ["anna@one.example", "ben@one.example"];
    const { inShort: fates, siteDown, detail } = await send(server.url, { to });
    assert.deepEqual(fates, ["deferred connect", "deferred connect"]);
    assert.equal(siteDown, true);
    assert.match(detail, /ECONNREFUSED/);
  });

  test("does not go to a server whose certificate nobody vouches for", async () => {
    const server = createTlsServer({ key: TEST_KEY, cert: TEST_CERT }, (_, response) => response.end());
    server.on("tlsClientError", () => undefined).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const { inShort: fates, detail } = await send(`https://127.0.0.1:${port}/`);
    await new Promise((resolve) => void server.close(resolve));
    assert.deepEqual(fates, ["deferred connect"]);
    assert.match(detail, /SELF_SIGNED/);
  });

  test("is in doubt when all of it was sent and no answer came", async () => {
    await using server = await receiver((request, response) => {
      request.resume().on("end", () => response.destroy());
    });
    assert.deepEqual((await send(server.url)).inShort, ["deferred ambiguous"]);
  });

  test("is in doubt too when the server is silent", async () => {
    await using server = await receiver((request) => void request.resume());
    const { inShort: fates, detail } = await send(server.url, { timeouts: { dot: 20 } });
    assert.deepEqual(fates, ["deferred ambiguous"]);
    assert.match(detail, /silent for too long/);
  });

  /** More than fits into the buffers of a connection on this machine. */
  const LARGE = 64 * 1_024 * 1_024;

  function endless(count: { read: number }) {
    const chunk = Buffer.alloc(65_536, "x");
    return async function* (from: number, to: number): AsyncGenerator<Buffer> {
      const until = Math.min(to, LARGE);
      if (from === 0 && to <= Buffer.byteLength(HEADERS)) return yield Buffer.from(HEADERS);
      for (let at = from; at < until; at += chunk.length) {
        count.read += 1;
        yield chunk.subarray(0, Math.min(chunk.length, until - at));
      }
    };
  }

  /** Resolves when nothing has been read for many turns of the event loop. */
  async function standstill(count: { read: number }): Promise<void> {
    for (let [last, turns] = [-1, 0]; turns < 500; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (count.read !== last) [last, turns] = [count.read, 0];
    }
  }

  test("that is large is read as fast as it is taken, and no faster", async () => {
    const count = { read: 0 };
    let taking = 0;
    await using server = await receiver((request, response) => {
      request.pause();
      void standstill(count).then(() => {
        taking = count.read;
        request.resume().on("end", () => response.writeHead(200).end());
      });
    });
    const { inShort: fates } = await send(server.url, { bytes: LARGE, stored: endless(count) });
    assert.deepEqual(fates, ["delivered 250"]);
    assert.ok(taking < LARGE / 65_536 / 2, `${taking} chunks were read before the server took any`);
    assert.equal(count.read, LARGE / 65_536 + 8);
  });

  test("waits when the server stops taking it", async () => {
    await using server = await receiver((request) => void request.pause());
    const { inShort: fates } = await send(server.url, {
      bytes: LARGE,
      stored: endless({ read: 0 }),
      timeouts: { block: 50 },
    });
    assert.deepEqual(fates, ["deferred timeout"]);
  });

  test("is answered for though the server did not read it all", async () => {
    await using server = await receiver((request, response) => {
      request.pause();
      response.writeHead(413).end();
    });
    const { inShort: fates } = await send(server.url, { bytes: LARGE, stored: endless({ read: 0 }) });
    assert.deepEqual(fates, ["bounced http"]);
  });

  test("is never sent as a whole when our store has lost a part of it", async () => {
    let whole = false;
    await using server = await receiver((request) => {
      request.on("error", () => undefined).resume();
      request.on("end", () => (whole = true));
    });
    const bytes = Buffer.byteLength(MAIL, "latin1") + 1;
    const { inShort: fates, errors } = await send(server.url, { bytes });
    assert.deepEqual(fates, ["deferred internal"]);
    assert.match(String(errors[0]), /bytes in place of/);
    assert.equal(whole, false);
  });

  test("is given up when the sender has to stop", async () => {
    const stop = new AbortController();
    await using server = await receiver((request) => {
      request.on("error", () => undefined).pause();
      stop.abort();
    });
    const { inShort: fates, siteDown } = await send(server.url, {
      bytes: LARGE,
      stored: endless({ read: 0 }),
      signal: stop.signal,
    });
    assert.deepEqual(fates, ["deferred internal"]);
    assert.equal(siteDown, false);
  });
});
