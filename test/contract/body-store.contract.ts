/** What every BodyStore keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { KIB, MIB } from "#shared/domain/units.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { ByteRange } from "#shared/ports/body-store.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { bodyOf, chunks } from "../support/backend.ts";
import type { OpenBackend } from "../support/backend.ts";
import { message, newMessageId, queueRow } from "../support/builders.ts";
import { fakeClock } from "../support/fake-clock.ts";

/** Few bytes, and more than a store would keep in one piece. */
const SIZES = { small: 5 * KIB, large: 3 * MIB + 17 } as const;

function patterned(bytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + (index >> 8)) % 256));
}

function pieces(whole: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
    whole.subarray(i * size, (i + 1) * size),
  );
}

async function rangeOf(backend: Backend, id: MessageId, range: ByteRange): Promise<Buffer> {
  const stored = await backend.bodies.get(id, range);
  assert.ok(stored);
  return Buffer.concat(await Array.fromAsync(stored));
}

/** Without the difference in words, which takes minutes for megabytes. */
function assertSame(actual: Buffer | null, expected: Buffer): void {
  assert.equal(actual?.length, expected.length);
  assert.ok(actual.equals(expected), "the same bytes");
}

export function bodyStoreContract(backendName: string, open: OpenBackend): void {
  describe(`BodyStore on ${backendName}`, () => {
    for (const [size, bytes] of Object.entries(SIZES)) {
      test(`a ${size} body comes back as it was put, whole or in parts, however often it is read`, async () => {
        await using opened = await open(fakeClock());
        const { backend } = opened;
        const id = newMessageId();
        const whole = patterned(bytes);
        assert.equal(await backend.bodies.put(id, chunks(...pieces(whole, 1_009))), bytes);
        assertSame(await bodyOf(backend, id), whole);
        assertSame(await bodyOf(backend, id), whole);
        assertSame(await rangeOf(backend, id, { from: 0, to: 1 }), whole.subarray(0, 1));
        assertSame(await rangeOf(backend, id, { from: 100, to: 4_000 }), whole.subarray(100, 4_000));
        assertSame(await rangeOf(backend, id, { from: 7, to: 7 }), Buffer.alloc(0));
      });

      test(`a range past the end of a ${size} body is cut`, async () => {
        await using opened = await open(fakeClock());
        const { backend } = opened;
        const id = newMessageId();
        const whole = patterned(bytes);
        await backend.bodies.put(id, chunks(whole));
        assert.deepEqual(
          await rangeOf(backend, id, { from: bytes - 3, to: bytes + 100 }),
          whole.subarray(-3),
        );
        assertSame(await rangeOf(backend, id, { from: bytes + 5, to: bytes + 9 }), Buffer.alloc(0));
      });

      test(`a source that throws after a ${size} part fails the put with its error and leaves nothing`, async () => {
        await using opened = await open(fakeClock());
        const { backend } = opened;
        const id = newMessageId();
        const trouble = new Error("the client went away");
        async function* broken(): AsyncIterable<Buffer> {
          yield* chunks(...pieces(patterned(bytes), 64 * KIB));
          throw trouble;
        }
        await assert.rejects(backend.bodies.put(id, broken()), trouble);
        assert.equal(await backend.bodies.get(id), null);
      });

      test(`a ${size} body that is deleted is gone, and deleting it again is no error`, async () => {
        await using opened = await open(fakeClock());
        const { backend } = opened;
        const id = newMessageId();
        await backend.bodies.put(id, chunks(patterned(bytes)));
        await backend.bodies.delete(id);
        assert.equal(await backend.bodies.get(id), null);
        await backend.bodies.delete(id);
      });

      test(`a ${size} body is still there when its message is accepted, and never changes from then on`, async () => {
        await using opened = await open(fakeClock());
        const { backend } = opened;
        const accepted = message();
        const whole = patterned(bytes);
        await backend.bodies.put(accepted.id, chunks(whole));
        assert.equal(await backend.queue.accept(accepted, [queueRow(accepted, 1)]), "accepted");
        assertSame(await bodyOf(backend, accepted.id), whole);
        // A second try of the same submission, such as of a DSN, comes with the same id and perhaps another Date header.
        for (const other of [patterned(SIZES.small + 1), patterned(SIZES.large + 1)]) {
          await backend.bodies.put(accepted.id, chunks(other));
          assert.equal(await backend.queue.accept(accepted, [queueRow(accepted, 1)]), "exists");
          assertSame(await bodyOf(backend, accepted.id), whole);
        }
      });
    }

    test("what is put again before it is accepted replaces what was there", async () => {
      await using opened = await open(fakeClock());
      const { backend } = opened;
      const [first, second] = [patterned(SIZES.large), patterned(SIZES.small)];
      for (const [before, after] of [
        [first, second],
        [second, first],
      ] as const) {
        const accepted = message();
        await backend.bodies.put(accepted.id, chunks(before));
        await backend.bodies.put(accepted.id, chunks(after));
        await backend.queue.accept(accepted, [queueRow(accepted, 1)]);
        assertSame(await bodyOf(backend, accepted.id), after);
      }
    });

    test("a body of no bytes is a body", async () => {
      await using opened = await open(fakeClock());
      const { backend } = opened;
      const id = newMessageId();
      assert.equal(await backend.bodies.put(id, chunks()), 0);
      assertSame(await bodyOf(backend, id), Buffer.alloc(0));
    });

    test("a body that was never put is not there", async () => {
      await using opened = await open(fakeClock());
      assert.equal(await opened.backend.bodies.get(newMessageId()), null);
    });

    test("few bytes come in one chunk", async () => {
      await using opened = await open(fakeClock());
      const { backend } = opened;
      const id = newMessageId();
      await backend.bodies.put(id, chunks(...pieces(patterned(SIZES.small), 100)));
      const stored = await backend.bodies.get(id);
      assert.ok(stored);
      assert.equal((await Array.fromAsync(stored)).length, 1);
    });
  });
}
