/** `core/http-config` and `core/api-send` for mail that comes by HTTP, down to what the store then holds. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { parseMessageId } from "#shared/domain/ids.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { startApi } from "../support/api-harness.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { httpPeer } from "../support/http-peer.ts";
import type { PeerAnswer } from "../support/http-peer.ts";

const mail = { from: "anna@example.com", to: "ben@example.net", subject: "hello", text: "hi" };

const asking = (url: string, zones = {}): Promise<ApiHarness> =>
  startApi({ config: { zones, plugins: { "core/http-config": { enabled: true, url } } } });

describe("the operator's directory", () => {
  test("is told of the sender of a mail by HTTP, and names its zone, its time and its X-Fbl", async () => {
    const at = Date.now() + 3_600_000;
    const body = JSON.stringify({ sendingZone: "Bulk", deferDelivery: at, fbl: "c-7" });
    await using peer = await httpPeer(() => ({ status: 200, body }));
    await using api = await asking(peer.url, { bulk: {} });
    const headers = { "X-Authenticated-User": "shop 7", "X-Originating-IP": "192.0.2.7" };
    const sends = [
      await api.ask("POST", "/send", { headers, body: mail }),
      await api.ask("POST", "/send-raw", {
        headers: { ...headers, "content-type": "message/rfc822" },
        body: "From: anna@example.com\r\nTo: ben@example.net\r\n\r\nhi\r\n",
      }),
    ];
    for (const [i, { status, json }] of sends.entries()) {
      assert.equal(status, 200);
      const kept = await api.backend.queue.get(parseMessageId(json.id) as MessageId);
      const [row] = kept?.rows ?? [];
      assert.equal((await api.ask("GET", `/message/${json.id}`)).json.meta.fbl, "c-7");
      assert.deepEqual(
        [row?.zone, row?.state, row?.dueAt, kept?.message.fbl],
        ["bulk", "deferred", at, "c-7"],
      );
      assert.deepEqual(Object.fromEntries(new URLSearchParams(peer.asked[i]?.body)), {
        from: "anna@example.com",
        origin: "192.0.2.7",
        originhost: "",
        transhost: "",
        transtype: "HTTP",
        user: "shop 7",
      });
    }
  });

  const refusals: [told: PeerAnswer, status: number][] = [
    [{ status: 200, body: '{"error":"Over quota","code":550}' }, 403],
    [{ status: 200, body: '{"error":"Over quota","code":450}' }, 503],
    [{ status: 500 }, 503],
    [{ status: 200, body: "no JSON" }, 503],
  ];
  for (const [told, status] of refusals) {
    test(`stores nothing when it says no or nothing: ${told.body ?? told.status} is ${status}`, async () => {
      await using peer = await httpPeer(() => told);
      await using api = await asking(peer.url);
      const answer = await api.ask("POST", "/send", { body: mail });
      assert.equal(answer.status, status);
      if (told.body?.includes("450") === true) {
        assert.deepEqual(answer.json, { error: "Over quota", code: "refused" });
        assert.ok(Number(answer.headers["retry-after"]) > 0, "says when to try again");
      }
      if (status === 403)
        assert.deepEqual(answer.json, { error: "Over quota", code: "forbidden", path: "from" });
      assert.deepEqual(await api.backend.queue.counts(), []);
    });
  }
});

test("core/api-send limits the recipients of one mail by HTTP, and tells how many there may be", async () => {
  await using api = await startApi({
    config: { plugins: { "core/api-send": { enabled: true, maxRecipients: 2 } } },
  });
  const to = ["a@example.net", "b@example.net", "c@example.net"];
  assert.equal((await api.ask("POST", "/send", { body: { ...mail, to: to.slice(1) } })).status, 200);
  const { status, json } = await api.ask("POST", "/send", { body: { ...mail, to } });
  assert.equal(status, 422);
  assert.equal(json.code, "too-many-recipients");
  assert.match(json.error, /at most 2 at once/);
});
