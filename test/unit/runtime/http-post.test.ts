import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { describe, test } from "node:test";

import { httpPost } from "#shared/runtime/http-post.ts";
import { startReceiver } from "../../support/event-receiver.ts";

const never = new AbortController().signal;
const to = (url: string) => ({ url, headers: { "content-type": "text/plain" }, body: "hello" });

describe("a POST to a receiver", () => {
  test("brings body and headers, and gives back the status", async () => {
    await using receiver = await startReceiver();
    receiver.answer = () => 418;
    assert.deepEqual(await httpPost()(to(receiver.url), never), { kind: "answered", status: 418 });
    const [post] = receiver.posts;
    assert.deepEqual([post?.method, post?.path, post?.body], ["POST", "/events", "hello"]);
    assert.equal(post?.headers["content-type"], "text/plain");
    assert.equal(post?.headers["user-agent"], "ZoneFleet");
  });

  test("follows no redirect", async () => {
    await using receiver = await startReceiver();
    receiver.answer = () => 307;
    assert.deepEqual(await httpPost()(to(receiver.url), never), { kind: "answered", status: 307 });
    assert.equal(receiver.posts.length, 1);
  });

  test("logs in with what is in the URL", async () => {
    await using receiver = await startReceiver();
    await httpPost()(to(receiver.url.replace("//", "//me:p%40ss@")), never);
    assert.equal(receiver.posts[0]?.headers.authorization, `Basic ${btoa("me:p@ss")}`);
  });

  test("ends when its time is over, or the caller ends it", async () => {
    await using receiver = await startReceiver();
    receiver.answer = () => null;
    const late = await httpPost({ timeoutMs: 50 })(to(receiver.url), never);
    assert.deepEqual(late, { kind: "failed", detail: "it did not answer in time" });
    const stop = new AbortController();
    const stopped = httpPost()(to(receiver.url), stop.signal);
    await receiver.waitFor(2);
    stop.abort(new Error("we stop"));
    assert.deepEqual(await stopped, { kind: "failed", detail: "we stop" });
  });

  test("that finds nobody says so", async () => {
    const receiver = await startReceiver();
    await receiver[Symbol.asyncDispose]();
    assert.deepEqual(await httpPost()(to(receiver.url), never), { kind: "failed", detail: "ECONNREFUSED" });
  });

  test("does not read an answer without end", async () => {
    const server = createServer((_, response) => {
      const more = (): void => {
        while (response.writable && response.write(Buffer.alloc(16_384)));
      };
      response.on("drain", more).writeHead(200);
      more();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    assert.deepEqual(await httpPost()(to(url), never), { kind: "answered", status: 200 });
    server.close();
    server.closeAllConnections();
  });
});
