/**
 * Bodies as objects in S3: `bodies/<shard>/<message id>/<ref>`, where `ref` is new at each put and the message record names the
 * one that counts.
 *
 * B1  An object is never written twice. Who puts a body again, before or after the message was accepted, writes another object,
 *     and the message keeps the one it was accepted with. So nothing depends on S3 refusing to overwrite.
 * B2  Up to `SINGLE_PUT_BYTES` go in one PUT, more in parts of that size, one after the other: an upload holds two parts at most.
 * B3  Up to `PIECE_BYTES` are read at once. More are read in pieces, each with a request of its own when it is wanted, so that no
 *     connection to S3 stays open while a slow peer takes a mail, and a connection that breaks costs one piece.
 * B4  What a failed put may have left is taken away at once, as far as S3 answers; parts cut off go by the bucket's lifecycle. A
 *     process killed between put and accept leaves an object that no message names, until the lifecycle takes it.
 * B5  The body of a mail that is done goes with others, up to a second later (`deleteSoon`), for a call of its own would cost as
 *     much CPU as putting it has.
 */

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { CompletedPart, S3Client } from "@aws-sdk/client-s3";
import { LRUCache } from "lru-cache";

import type { Clock } from "../domain/clock.ts";
import type { MessageId } from "../domain/ids.ts";
import { MIB, SECOND } from "../domain/units.ts";
import type { BodyStore } from "../ports/body-store.ts";
import { hasName } from "./aws-errors.ts";
import { objectReader } from "./body-reader.ts";
import { newMark } from "./conditions.ts";

/** S3 takes no smaller part but the last; with at most 10,000 parts a body may have 48 GiB. */
export const SINGLE_PUT_BYTES = 5 * MIB;
/** Taking away what a failed put has left must not hold up its answer for long. */
const CLEAN_UP_MS = 5 * SECOND;
/** Messages whose body is known here; the record of any other is read when its body is wanted. */
const MAX_KNOWN = 20_000;
/** Bodies to be deleted soon: so many go at once, and fewer after a second. DeleteObjects takes 1,000. */
const DELETED_TOGETHER = 100;
const DELETE_AFTER_MS = SECOND;
export const BODY_PREFIX = "bodies/";

/** Names the object of a body among those of its message. */
export type BodyRef = string;

export interface S3BodyStore extends BodyStore {
  /** For the record of a message that is being accepted: what this process has put for it. Null: nothing. */
  refOf(id: MessageId): BodyRef | null;
  /**
   * What the record of an accepted message says, as it was written or read. From now on this is the body of `id` here, and what
   * this process has put for it otherwise is taken away.
   */
  learn(id: MessageId, ref: BodyRef): void;
  /** From now on there is no such body here; its object goes within about a second. */
  deleteSoon(id: MessageId): void;
  /** Delete now what is to go soon. */
  close(): Promise<void>;
}

export interface S3BodyDeps {
  readonly s3: S3Client;
  readonly bucket: string;
  readonly clock: Pick<Clock, "sleep">;
  /** From the record of the message; null: there is none, or it names no body. */
  readonly readRef: (id: MessageId) => Promise<BodyRef | null>;
  /** Objects that could not be deleted stay until the lifecycle of the bucket takes them. */
  readonly onNotDeleted: (error: unknown) => void;
}

export function s3BodyStore(deps: S3BodyDeps): S3BodyStore {
  const { s3, bucket, readRef } = deps;
  /** Put by this process, not yet accepted. */
  const put = new LRUCache<MessageId, BodyRef>({ max: MAX_KNOWN });
  /** Of accepted messages. */
  const known = new LRUCache<MessageId, BodyRef>({ max: MAX_KNOWN });
  const upload = uploader(s3, bucket);
  const read = objectReader(s3, bucket);
  const doomed = laterDeleter(deps, async (ids) => {
    const found = await Promise.all(ids.map(async (id) => ({ id, ref: await find(id) })));
    const there = found.flatMap(({ id, ref }) => (ref === null ? [] : [bodyKey(id, ref)]));
    await deleteObjects(s3, bucket, there);
  });

  async function find(id: MessageId): Promise<BodyRef | null> {
    const here = known.get(id) ?? put.get(id);
    if (here !== undefined) return here;
    const ref = await readRef(id);
    if (ref !== null) known.set(id, ref);
    return ref;
  }

  async function remove(id: MessageId, ref: BodyRef): Promise<void> {
    await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: bodyKey(id, ref) }));
  }

  return {
    async put(id, source) {
      if (known.has(id)) return await byteCount(source); // accepted, and it has its body
      const ref = newMark();
      const bytes = await upload(bodyKey(id, ref), source);
      const before = put.get(id);
      put.set(id, ref);
      if (before !== undefined) await remove(id, before);
      return bytes;
    },

    async get(id, range) {
      const ref = doomed.has(id) ? null : await find(id);
      return ref === null ? null : await read(bodyKey(id, ref), range);
    },

    async delete(id) {
      const ref = await find(id);
      if (ref === null) return;
      await remove(id, ref);
      put.delete(id);
      known.delete(id);
    },

    refOf: (id) => put.get(id) ?? null,

    learn(id, ref) {
      const other = put.get(id);
      put.delete(id);
      known.set(id, ref);
      // Nobody waits for it: an object that no message names costs a little money and no mail.
      if (other !== undefined && other !== ref) void remove(id, other).catch(() => undefined);
    },

    deleteSoon: (id) => doomed.add(id),
    close: () => doomed.deleteNow(),
  };
}

interface LaterDeleter {
  add(id: MessageId): void;
  has(id: MessageId): boolean;
  deleteNow(): Promise<void>;
}

/** Gathers ids until they are many or some time has passed. */
function laterDeleter(
  { clock, onNotDeleted }: Pick<S3BodyDeps, "clock" | "onNotDeleted">,
  remove: (ids: readonly MessageId[]) => Promise<void>,
): LaterDeleter {
  const gone = new LRUCache<MessageId, true>({ max: MAX_KNOWN });
  let waiting: MessageId[] = [];

  async function deleteNow(): Promise<void> {
    const ids = waiting;
    waiting = [];
    try {
      if (ids.length > 0) await remove(ids);
    } catch (error) {
      onNotDeleted(error);
    }
  }

  return {
    add(id) {
      gone.set(id, true);
      waiting.push(id);
      if (waiting.length >= DELETED_TOGETHER) void deleteNow();
      else if (waiting.length === 1) void clock.sleep(DELETE_AFTER_MS).then(deleteNow);
    },
    has: (id) => gone.has(id),
    deleteNow,
  };
}

async function deleteObjects(s3: S3Client, bucket: string, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return;
  const Objects = keys.map((Key) => ({ Key }));
  const { Errors = [] } = await s3.send(
    new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }),
  );
  const [first] = Errors;
  if (first) throw new Error(`S3 kept ${Errors.length} objects: ${first.Code} ${first.Message}`);
}

/** The last two characters of an id are chance, so that 1,024 prefixes share the requests: S3 takes 3,500 PUT a second for one. */
export function bodyKey(id: MessageId, ref: BodyRef): string {
  return `${BODY_PREFIX}${id.slice(-2)}/${id}/${ref}`;
}

async function byteCount(source: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const chunk of source) bytes += chunk.length;
  return bytes;
}

/** Stores all of a source under a key and resolves with the count of bytes, or rejects and leaves nothing. */
function uploader(s3: S3Client, bucket: string) {
  return async (Key: string, source: AsyncIterable<Buffer>): Promise<number> => {
    const object = { Bucket: bucket, Key };
    const parts = inParts(source);
    const first = await parts.next();
    const bytes = first.value ?? Buffer.alloc(0);
    if (bytes.length === SINGLE_PUT_BYTES) return await multipart(s3, object, bytes, parts);
    try {
      await s3.send(new PutObjectCommand({ ...object, Body: bytes }));
    } catch (error) {
      // Its answer may have been lost, and not the bytes.
      await tidy((abortSignal) => s3.send(new DeleteObjectCommand(object), { abortSignal }));
      throw error;
    }
    return bytes.length;
  };
}

/** S3 refuses parts with a checksum when the upload was not begun with one of the same kind; the SDK gives one to parts alone. */
const CHECKSUM = { ChecksumAlgorithm: "CRC32" } as const;

interface ObjectName {
  readonly Bucket: string;
  readonly Key: string;
}

async function multipart(
  s3: S3Client,
  object: ObjectName,
  first: Buffer,
  rest: AsyncIterable<Buffer>,
): Promise<number> {
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ ...object, ...CHECKSUM }));
  try {
    let bytes = 0;
    const Parts: CompletedPart[] = [];
    for await (const Body of prepended(first, rest)) {
      const PartNumber = Parts.length + 1;
      const { $metadata: _, ...checksums } = await s3.send(
        new UploadPartCommand({ ...object, ...CHECKSUM, UploadId, PartNumber, Body }),
      );
      Parts.push({ ...checksums, PartNumber });
      bytes += Body.length;
    }
    await complete(s3, object, { UploadId, Parts, bytes });
    return bytes;
  } catch (error) {
    await tidy((abortSignal) =>
      s3.send(new AbortMultipartUploadCommand({ ...object, UploadId }), { abortSignal }),
    );
    throw error;
  }
}

interface Upload {
  readonly UploadId: string | undefined;
  readonly Parts: CompletedPart[];
  readonly bytes: number;
}

async function complete(s3: S3Client, object: ObjectName, { UploadId, Parts, bytes }: Upload): Promise<void> {
  try {
    await s3.send(new CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload: { Parts } }));
  } catch (error) {
    // An upload that is complete is no upload any more: sent again after its answer was lost, the command finds none.
    if (!hasName(error, "NoSuchUpload")) throw error;
    const { ContentLength } = await s3.send(new HeadObjectCommand(object));
    if (ContentLength !== bytes) throw error;
  }
}

async function* prepended(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

/** All bytes of `source` in buffers of `SINGLE_PUT_BYTES`; the last one is shorter, or there is none. */
async function* inParts(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, undefined> {
  let chunks: Buffer[] = [];
  let room = SINGLE_PUT_BYTES;
  for await (const chunk of source) {
    let rest = chunk;
    while (rest.length >= room) {
      chunks.push(rest.subarray(0, room));
      rest = rest.subarray(room);
      const part = Buffer.concat(chunks);
      chunks = [];
      room = SINGLE_PUT_BYTES;
      yield part;
    }
    chunks.push(rest);
    room -= rest.length;
  }
  if (room < SINGLE_PUT_BYTES) yield Buffer.concat(chunks);
}

/** The error that led here is the one to tell; what stays is left to the bucket's lifecycle or lies there unnamed. */
async function tidy(removing: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  await removing(AbortSignal.timeout(CLEAN_UP_MS)).catch(() => undefined);
}
