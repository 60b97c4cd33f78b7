/** What only the embedded body store does: holding small bodies for their accept, and cleaning up after crashes. */

import assert from "node:assert/strict";
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import type { MessageId } from "#shared/domain/ids.ts";
import { DAY, HOUR, MIB, MINUTE } from "#shared/domain/units.ts";
import { SMALL_BODY_BYTES } from "#shared/embedded/body-store.ts";
import { openDatabase } from "#shared/embedded/database.ts";
import { acceptMail, bodyOf, chunks, embeddedBackend } from "../../support/backend.ts";
import { newMessageId } from "../../support/builders.ts";
import { fakeClock } from "../../support/fake-clock.ts";

/** Ids are made by the clock of the machine, so the fake one starts there. */
const clockOfToday = () => fakeClock(Date.now());

/** What lies in the store, seen past this process's memory. */
function storedBytes(dataDir: string, id: MessageId): number | null {
  const database = openDatabase(dataDir);
  return database.bytesTable("bodies").get(id)?.length ?? null;
}

test("a small body is written with its message and not before", async () => {
  await using opened = await embeddedBackend(clockOfToday());
  const { backend, dataDir } = opened;
  const id = newMessageId();
  await backend.bodies.put(id, chunks("body"));
  assert.equal(storedBytes(dataDir, id), null);
  const { message } = await acceptMail(backend, clockOfToday(), { message: { id }, body: "another body" });
  assert.equal(storedBytes(dataDir, message.id), 12);
});

test("a small body whose accept does not come is written on its own, and goes when it is an orphan", async () => {
  const clock = clockOfToday();
  await using opened = await embeddedBackend(clock);
  const { backend, dataDir } = opened;
  const id = newMessageId();
  await backend.bodies.put(id, chunks("body"));
  await clock.advance(MINUTE);
  await backend.queue.sweep();
  assert.equal(storedBytes(dataDir, id), 4);
  assert.equal(String(await bodyOf(backend, id)), "body");
  await clock.advance(DAY + HOUR);
  await backend.queue.sweep();
  assert.equal(await bodyOf(backend, id), null);
});

test("more small bodies than may be held in memory are all kept", async () => {
  await using opened = await embeddedBackend(clockOfToday());
  const { backend } = opened;
  const ids = Array.from({ length: 33 * (MIB / SMALL_BODY_BYTES) }, () => newMessageId());
  for (const id of ids) await backend.bodies.put(id, chunks(Buffer.alloc(SMALL_BODY_BYTES)));
  for (const id of ids) assert.equal((await bodyOf(backend, id))?.length, SMALL_BODY_BYTES);
});

test("a body one byte over the small ones is a file, and goes with its message", async () => {
  const clock = clockOfToday();
  await using opened = await embeddedBackend(clock);
  const { backend, dataDir } = opened;
  const { message, rows } = await acceptMail(backend, clock, { body: "x".repeat(SMALL_BODY_BYTES + 1) });
  const file = join(dataDir, "bodies", message.id.slice(-2));
  assert.deepEqual(await readdir(file), [message.id]);
  await backend.queue.operate(
    "drop",
    rows.map(({ id }) => id),
  );
  assert.deepEqual(await readdir(file), []);
});

test("cleaning removes what crashes left long ago, and nothing that is young or wanted", async () => {
  const clock = clockOfToday();
  await using opened = await embeddedBackend(clock);
  const { backend, dataDir } = opened;
  const large = "x".repeat(SMALL_BODY_BYTES + 1);
  const wanted = await acceptMail(backend, clock, { body: large });
  const orphan = newMessageId();
  await backend.bodies.put(orphan, chunks(large));
  const incoming = join(dataDir, "bodies", "incoming");
  await mkdir(incoming, { recursive: true });
  const [stale, running] = [join(incoming, `${orphan}.stale`), join(incoming, `${orphan}.running`)];
  for (const file of [stale, running]) await writeFile(file, "half a body");

  await backend.queue.sweep();
  assert.equal((await readdir(incoming)).length, 2, "both are young");
  assert.ok(await bodyOf(backend, orphan));

  await clock.advance(DAY + HOUR);
  const recently = new Date(clock.now());
  await utimes(running, recently, recently);
  await backend.queue.sweep();
  assert.deepEqual(await readdir(incoming), [`${orphan}.running`]);
  assert.ok((await bodyOf(backend, orphan)) === null);
  assert.equal((await bodyOf(backend, wanted.message.id))?.length, large.length);
});
