import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { MessageId } from "#shared/domain/ids.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { Uploads } from "#shared/app/uploads.ts";
import { uploads } from "#shared/app/uploads.ts";
import type { UploadStore } from "#shared/ports/upload-store.ts";
import { newMessageId } from "../../support/builders.ts";
import type { App } from "../../support/app.ts";
import { once, openApp, submission } from "../../support/app.ts";

interface Bench extends AsyncDisposable {
  readonly app: App;
  readonly uploads: Uploads;
  /** What was put where. */
  readonly put: Map<MessageId, string>;
  readonly undeleted: MessageId[];
  send(id: MessageId, fields?: { maxBytes?: number }): ReturnType<Uploads["send"]>;
}

async function bench(store: Partial<UploadStore> | null = {}): Promise<Bench> {
  const app = await openApp();
  const put = new Map<MessageId, string>();
  const undeleted: MessageId[] = [];
  const inMemory: UploadStore = {
    create: async (id) => ({ url: `https://bucket.example/${id}`, expiresAt: 1_000 as EpochMs }),
    get: async (id) => (put.has(id) ? once(put.get(id) as string) : null),
    delete: async (id) => void put.delete(id),
    ...store,
  };
  const it = uploads({
    store: store && inMemory,
    queue: app.backend.queue,
    newMessageId,
    maxBytes: 1_000,
    onUndeleted: (id) => void undeleted.push(id),
  });
  return {
    app,
    uploads: it,
    put,
    undeleted,
    send: (id, fields = {}) =>
      it.send(id, (source) => app.submit({ ...submission(), ...fields, source, id })),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

describe("an upload", () => {
  test("is a place to put a mail, with what its client must know", async () => {
    await using it = await bench();
    const { id, url, ...rest } = await it.uploads.create();
    assert.equal(url, `https://bucket.example/${id}`);
    assert.deepEqual(rest, { method: "PUT", expires: "1970-01-01T00:00:01.000Z", maxSize: 1_000 });
    assert.notEqual((await it.uploads.create()).id, id);
    assert.equal(it.uploads.idOf(id.toUpperCase()), id);
  });

  test("is sent under its own id, once, and then gone", async () => {
    await using it = await bench();
    const { id } = await it.uploads.create();
    it.put.set(id, "Subject: large\r\n\r\n");
    assert.equal((await it.send(id)).messageId, id);
    assert.equal((await it.app.backend.queue.get(id))?.message.subject, "large");
    assert.deepEqual([...it.put], []);
    it.put.set(id, "Subject: again\r\n\r\n");
    await assert.rejects(it.send(id), { code: "conflict", path: "upload" });
    assert.equal(it.app.told.accepted.length, 1);
  });

  test("is sent once when it is asked for twice at once", async () => {
    await using it = await bench();
    const { id } = await it.uploads.create();
    it.put.set(id, "Subject: large\r\n\r\n");
    const sent = await Promise.allSettled([it.send(id), it.send(id), it.send(id)]);
    assert.deepEqual(sent.map(({ status }) => status).toSorted(), ["fulfilled", "rejected", "rejected"]);
    for (const one of sent) if (one.status === "rejected") assert.equal(one.reason.code, "conflict");
    assert.equal(it.app.told.accepted.length, 1);
  });

  test("that another request sends and deletes while it is read is told as sent", async () => {
    for (const broken of [null, "half"] as const) {
      await using it = await bench({
        get: async (id) => {
          await it.app.submit({ ...submission(), id });
          return broken && halfOf();
        },
      });
      const { id } = await it.uploads.create();
      await assert.rejects(it.send(id), { code: "conflict", path: "upload" });
      assert.equal(it.app.told.accepted.length, 1);
    }
  });

  test("that nothing was put to, or that never was, is not found", async () => {
    await using it = await bench();
    const { id } = await it.uploads.create();
    await assert.rejects(it.send(id), { code: "not-found", path: "upload" });
    for (const text of ["", "x", "../bodies/x", `${id}0`]) {
      assert.throws(() => it.uploads.idOf(text), { code: "not-found", path: "upload" });
    }
  });

  test("may be put again when it was refused: it stays, and so does its id", async () => {
    await using it = await bench();
    const { id } = await it.uploads.create();
    it.put.set(id, `Subject: too large\r\n\r\n${"x".repeat(100)}`);
    await assert.rejects(it.send(id, { maxBytes: 50 }), { code: "message-too-large" });
    it.put.set(id, "Subject: right\r\n\r\n");
    assert.equal((await it.send(id, { maxBytes: 50 })).messageId, id);
  });

  test("that was sent and cannot be deleted is sent all the same", async () => {
    await using it = await bench({ delete: () => Promise.reject(new Error("no")) });
    const { id } = await it.uploads.create();
    it.put.set(id, "Subject: large\r\n\r\n");
    await it.send(id);
    assert.deepEqual(it.undeleted, [id]);
  });

  test("is not needed where mail streams in, and that is said", async () => {
    await using it = await bench(null);
    await assert.rejects(it.uploads.create(), { code: "not-found", message: /POST \/send-raw.*1000 bytes/ });
    assert.throws(() => it.uploads.idOf(newMessageId()), /nothing needs to be uploaded/);
  });
});

async function* halfOf(): AsyncGenerator<Buffer> {
  yield Buffer.from("Subject: ha");
  throw new Error("the object ended before its time");
}
