import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";

import { clockCheck } from "../../../../cli/doctor/clock.ts";

const NOW = Date.parse("2026-11-20T12:00:00Z");
let server: Server;
let url: string;
/** Null: none. */
let date: string | null;
before(async () => {
  server = createServer((_request, response) => {
    response.sendDate = false;
    if (date !== null) response.setHeader("date", date);
    response.writeHead(403).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
after(() => server.close());

async function compared(oursMs: number) {
  date = new Date(NOW).toUTCString();
  const { status, says } = await clockCheck(url, () => NOW + oursMs).run();
  return `${status}: ${says}`;
}

describe("our clock", () => {
  test("agrees with one that tells the second we are in, whatever part of it has passed", async () => {
    for (const ms of [0, 400, 999, 1_900])
      assert.equal(await compared(ms), "ok: our clock agrees with it", `${ms}`);
  });

  test("that is off by seconds is warned of, and by more than senders allow is a failure", async () => {
    assert.equal(await compared(-3_000), "warning: our clock is 3.0 seconds behind");
    assert.equal(await compared(4_000), "warning: our clock is 3.0 seconds ahead");
    assert.equal(await compared(-6_000), "failure: our clock is 6.0 seconds behind");
    assert.equal(await compared(90_000), "failure: our clock is 89.0 seconds ahead");
  });

  test("is not judged by a server that tells no time, does not answer, or is not named", async () => {
    date = null;
    assert.equal((await clockCheck(url).run()).status, "warning");
    assert.equal((await clockCheck("http://127.0.0.1:1/").run()).status, "warning");
    const { status, todo } = await clockCheck(null).run();
    assert.deepEqual([status, todo?.includes("--clock")], ["skipped", true]);
  });
});
