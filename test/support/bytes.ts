/** Byte streams in tests: cut into chunks, and put together again. */

/** `bytes` cut at the offsets in `cuts` (any order, any number; those outside count as the ends). */
export async function* chunksOf(bytes: Buffer, cuts: readonly number[] = []): AsyncGenerator<Buffer> {
  const offsets = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].toSorted(
    (a, b) => a - b,
  );
  for (let i = 1; i < offsets.length; i++) yield bytes.subarray(offsets[i - 1], offsets[i]);
}

export async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}
