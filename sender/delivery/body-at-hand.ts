/**
 * The bytes of a small mail, read before it is its turn: what the store takes to give them does not come between the permit of a rate
 * and the mail, which the receiver would see at another distance from others than it was meant to have.
 */

import { KIB } from "#shared/domain/units.ts";
import type { Message } from "#shared/domain/message.ts";
import type { BodyStore } from "#shared/ports/body-store.ts";

/** A larger one takes longer to send than to find. As many are held as connections wait for their turn. */
const MAX_BYTES = 256 * KIB;

/** A store that has the body of `message` in memory. What cannot be read now is asked for again when it is needed, and judged there. */
export async function bodyAtHand({ id, body }: Message, bodies: BodyStore): Promise<BodyStore> {
  if (body.bytes > MAX_BYTES) return bodies;
  const chunks = await bodies.get(id).catch(() => null);
  const bytes = chunks && (await whole(chunks).catch(() => null));
  if (!bytes) return bodies;
  return {
    ...bodies,
    async get(other, range) {
      return other === id ? only(bytes.subarray(range?.from, range?.to)) : bodies.get(other, range);
    },
  };
}

export async function whole(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts = await Array.fromAsync(chunks);
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

async function* only(chunk: Buffer): AsyncGenerator<Buffer> {
  yield chunk;
}
