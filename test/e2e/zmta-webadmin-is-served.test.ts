/** The calls that ZoneMTA's WebAdmin (zmta-webadmin 2) makes, as it makes them, and what its pages show of the answers. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";

import { addApiKey } from "#shared/app/api-keys.ts";
import { parseHeaders } from "#shared/domain/headers.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { ApiHarness, AskOptions } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";

const RAW = "From: Anna <anna@example.com>\nTo: ben@example.org\nSubject: =?UTF-8?Q?H=C3=B6?=\n\nhi\n";

let api: ApiHarness;
let authorization: string;
before(async () => {
  api = await startApi({ config: { zones: { bulk: { disabled: true } } } });
  const random = randomBytes;
  const { key } = await addApiKey(
    { ...api.backend, clock: systemClock, random },
    { scopes: ["admin"], label: "" },
  );
  authorization = `Basic ${btoa(key.replace(".", ":"))}`; // of `http://<id>:<secret>@…` in its `apiServer`
});
after(() => api[Symbol.asyncDispose]());

const ask = (method: string, path: string, { headers, ...rest }: AskOptions = {}) =>
  api.ask(method, path, { ...rest, headers: { accept: "application/json", authorization, ...headers } });

async function sendRaw(): Promise<string> {
  const { status, json } = await ask("POST", "/send-raw", { body: RAW }); // with no content type
  assert.equal(status, 200);
  return json.id;
}

describe("ZoneMTA's WebAdmin", () => {
  test("lists the zones with what waits in each", async () => {
    await sendRaw();
    const zones = (await ask("GET", "/zones?includeDisabled=true")).json;
    assert.ok(zones.some(({ name }: { name: string }) => name === "bulk"));
    const { active, deferred } = (await ask("GET", "/counter/zone/")).json;
    assert.deepEqual(active.entries, [{ key: "default", value: active.rows }]);
    assert.deepEqual(deferred, { entries: [], rows: 0 });
    assert.deepEqual((await ask("GET", "/blacklist")).json.list, []);
  });

  test("lists the recipients of a zone, newest first", async () => {
    const ids = [await sendRaw(), await sendRaw()];
    assert.ok((await ask("GET", "/counter/zone/default")).json.active.rows >= 2);
    const { list } = (await ask("GET", "/queued/active/default?sort=id&order=desc")).json;
    const shown = list.slice(0, 2);
    assert.deepEqual(
      shown.map(({ id }: { id: string }) => id),
      ids.toReversed(),
    );
    const [{ recipient, created, queued, deferred }] = shown;
    assert.deepEqual([recipient, deferred], ["ben@example.org", 0]);
    for (const time of [created, queued]) assert.equal(new Date(time).toISOString(), time);
  });

  test("shows a message with its headers, and downloads it", async () => {
    const id = await sendRaw();
    const { meta, messages } = (await ask("GET", `/message/${id}`)).json;
    assert.deepEqual(
      [typeof meta.time, meta.from, meta.to],
      ["number", "anna@example.com", ["ben@example.org"]],
    );
    const block = meta.headers.map(({ line }: { line: string }) => `${line}\r\n`).join("");
    const keys = parseHeaders(Buffer.from(block)).map(({ key }) => key);
    assert.deepEqual(keys, ["from", "to", "subject", "message-id", "date"]);
    assert.equal(block.length + "\r\n".length + meta.bodySize, meta.size);
    assert.deepEqual(
      messages.map(({ seq, zone, status, deferred }: Record<string, unknown>) => [
        seq,
        zone,
        status,
        deferred,
      ]),
      [["001", "default", "QUEUED", undefined]],
    );
    const fetched = await ask("GET", `/fetch/${id}`);
    assert.equal(fetched.headers["content-type"], "message/rfc822");
    assert.equal(fetched.text, `${block}\r\nhi\r\n`);
  });

  test("sends now and deletes, one recipient or all", async () => {
    const id = await sendRaw();
    assert.equal((await ask("PUT", `/message/${id}/001`)).json.success, true);
    assert.equal((await ask("PUT", `/message/${id}/`)).json.success, true);
    assert.equal((await ask("DELETE", `/message/${id}/`)).json.success, true);
    const gone = await ask("GET", "/message/1578a823de00009fbb");
    assert.deepEqual([gone.status, gone.json.error], [404, "Selected message does not exist"]);
  });

  test("adds to the suppression list with one field empty, and deletes by the query", async () => {
    const added = await ask("POST", "/suppressionlist", {
      body: { address: "Gone@example.org", domain: "" },
    });
    const { id, address, domain } = added.json.suppressed;
    assert.deepEqual([address, domain], ["gone@example.org", undefined]);
    assert.deepEqual(
      (await ask("GET", "/suppressionlist")).json.suppressed.map((entry: { id: string }) => entry.id),
      [id],
    );
    const deleted = await ask("DELETE", `/suppressionlist?id=${encodeURIComponent(id)}`);
    assert.deepEqual([deleted.status, deleted.json], [200, { deleted: id }]);
    const wrong = await ask("POST", "/suppressionlist", { body: { address: "", domain: "no domain" } });
    assert.deepEqual([wrong.status, typeof wrong.json.error], [400, "string"]);
  });
});
