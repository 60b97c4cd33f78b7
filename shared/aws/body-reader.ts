/** Reads an object of S3 in pieces (B3 in body-store.ts). */

import type { Readable } from "node:stream";

import { GetObjectCommand } from "@aws-sdk/client-s3";
import type { GetObjectCommandOutput, S3Client } from "@aws-sdk/client-s3";

import { MIB } from "../domain/units.ts";
import type { ByteRange } from "../ports/body-store.ts";
import { hasName } from "./aws-errors.ts";

/** Nearly all mail has less, and is read with one request. */
export const PIECE_BYTES = MIB;
/** The SDK repeats a request until it has an answer; one that breaks off in its bytes is repeated here. */
const MAX_READS = 3;

interface Piece {
  readonly bytes: Buffer;
  /** Offset of the first byte of the object behind what was asked for. */
  readonly end: number;
}

export type ReadObject = (key: string, range?: ByteRange) => Promise<AsyncIterable<Buffer> | null>;

export function objectReader(s3: S3Client, bucket: string): ReadObject {
  const whole = { from: 0, to: Number.MAX_SAFE_INTEGER };

  /** Null: there is no such object. Nothing when the object ends before `from`. */
  async function readPiece(Key: string, { from, to }: ByteRange): Promise<Piece | null> {
    for (let reads = 1; ; reads++) {
      const response = await request(Key, { from, to });
      if (response === null) return null;
      if (response === "past-end") return { bytes: Buffer.alloc(0), end: from };
      try {
        const bytes = await firstBytes(response.Body as Readable, PIECE_BYTES);
        return { bytes, end: Math.min(to, sizeOf(response)) };
      } catch (error) {
        if (reads === MAX_READS) throw error;
      }
    }
  }

  async function request(
    Key: string,
    { from, to }: ByteRange,
  ): Promise<GetObjectCommandOutput | "past-end" | null> {
    const last = Math.min(to, from + PIECE_BYTES) - 1;
    // Without a range the answer has a checksum, which the SDK looks at.
    const part = from === 0 && to === whole.to ? {} : { Range: `bytes=${from}-${last}` };
    try {
      return await s3.send(new GetObjectCommand({ Bucket: bucket, Key, ...part }));
    } catch (error) {
      if (hasName(error, "NoSuchKey")) return null;
      if (hasName(error, "InvalidRange")) return "past-end";
      throw error;
    }
  }

  async function* pieces(key: string, first: Piece, from: number): AsyncGenerator<Buffer> {
    let { bytes } = first;
    for (let at = from; bytes.length > 0;) {
      yield bytes;
      at += bytes.length;
      if (at >= first.end) return;
      const next = await readPiece(key, { from: at, to: first.end });
      if (!next || next.bytes.length === 0) throw new Error(`the object ${key} ended before its time`);
      bytes = next.bytes;
    }
  }

  return async (key, range = whole) => {
    const from = Math.max(0, range.from);
    if (range.to <= from) {
      // No byte is wanted, but whether there is such a body is.
      return (await readPiece(key, { from, to: from + 1 })) && nothing();
    }
    const first = await readPiece(key, { from, to: range.to });
    return first && pieces(key, first, from);
  };
}

async function* nothing(): AsyncGenerator<Buffer> {
  // Ends at once.
}

/** Up to `limit` bytes; the connection is given up when there are more. */
async function firstBytes(body: Readable, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let room = limit;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk.subarray(0, room));
    room -= chunk.length;
    if (room <= 0) break;
  }
  return Buffer.concat(chunks);
}

/** Of the whole object, whatever part of it was asked for. */
function sizeOf({ ContentRange, ContentLength }: GetObjectCommandOutput): number {
  const [, total] = /\/(\d+)$/.exec(ContentRange ?? "") ?? [];
  return Number(total ?? ContentLength);
}
