/** Bodies in S3: large ones in parts, and what is left when S3 fails, is slow or loses its answers. */

import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";

import { ListObjectsV2Command } from "@aws-sdk/client-s3";

import { s3BodyStore, SINGLE_PUT_BYTES } from "#shared/aws/body-store.ts";
import { PIECE_BYTES } from "#shared/aws/body-reader.ts";
import type { AwsClients } from "#shared/aws/clients.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { KIB, MIB, SECOND } from "#shared/domain/units.ts";
import { newInstallation, sharedLocalAws, stopLocalAwsAtEnd } from "../../support/aws-backend.ts";
import { clientsOfStandIn } from "../../support/aws-stand-in.ts";
import { newMessageId } from "../../support/builders.ts";
import { chunksOf, collect } from "../../support/bytes.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { noLocalAws } from "../../support/local-aws.ts";
import { sdkFaults } from "../../support/sdk-faults.ts";

stopLocalAwsAtEnd();

const LARGE = 2 * SINGLE_PUT_BYTES + 17;

function patterned(bytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + (index >> 8)) % 256));
}

/** Cut at odd places, so that chunks and parts do not end together. */
function inChunks(bytes: Buffer, size = 64 * KIB - 3): AsyncIterable<Buffer> {
  return chunksOf(
    bytes,
    Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => (i + 1) * size),
  );
}

/** A store, as one process has it; `records` stands for what the message records say. */
function storeOn(clients: AwsClients, bucket: string, clock: Clock, records = new Map<MessageId, string>()) {
  const notDeleted: unknown[] = [];
  const bodies = s3BodyStore({
    s3: clients.s3,
    bucket,
    clock,
    readRef: (id) => Promise.resolve(records.get(id) ?? null),
    onNotDeleted: (error) => notDeleted.push(error),
  });
  return { bodies, notDeleted, records };
}

async function opened() {
  const aws = await sharedLocalAws();
  const names = aws.newNames();
  await newInstallation(aws.clients, names);
  const clients = aws.newClients();
  const clock = fakeClock();
  const faults = sdkFaults(clients);
  return {
    ...storeOn(clients, names.bucket, clock),
    faults,
    clock,
    /** Another process with the same bucket and records. */
    other: (records: Map<MessageId, string>) => storeOn(aws.newClients(), names.bucket, clock, records),
    keys: async (): Promise<string[]> => {
      const { Contents = [] } = await aws.clients.s3.send(new ListObjectsV2Command({ Bucket: names.bucket }));
      return Contents.map(({ Key = "" }) => Key);
    },
  };
}

/** Whole or in part, as a buffer. */
async function bytesOf(chunks: AsyncIterable<Buffer> | null): Promise<Buffer> {
  assert.ok(chunks);
  return await collect(chunks);
}

describe("bodies in S3", { skip: noLocalAws() }, () => {
  test("a body of usual size is one PUT and one GET", async () => {
    const { bodies, faults } = await opened();
    const id = newMessageId();
    const whole = patterned(10 * KIB);
    assert.equal(await bodies.put(id, inChunks(whole, 100)), whole.length);
    assert.ok((await bytesOf(await bodies.get(id))).equals(whole));
    assert.deepEqual(
      [...faults.sent],
      [
        ["PutObject", 1],
        ["GetObject", 1],
      ],
    );
  });

  for (const bytes of [SINGLE_PUT_BYTES - 1, SINGLE_PUT_BYTES, LARGE]) {
    test(`a body of ${bytes} bytes comes back as it was, whole and over the borders of its parts and pieces`, async () => {
      const { bodies, keys } = await opened();
      const id = newMessageId();
      const whole = patterned(bytes);
      assert.equal(await bodies.put(id, inChunks(whole)), bytes);
      assert.ok((await bytesOf(await bodies.get(id))).equals(whole));
      for (const [from, to] of [
        [PIECE_BYTES - 1, PIECE_BYTES + 1],
        [PIECE_BYTES / 2, 2 * PIECE_BYTES + 5],
        [SINGLE_PUT_BYTES - 3, bytes + 100],
      ] as const)
        assert.ok((await bytesOf(await bodies.get(id, { from, to }))).equals(whole.subarray(from, to)));
      assert.equal((await keys()).length, 1);
    });
  }

  test("a large body is read from its source as it is stored, two parts ahead at most", async () => {
    const { bodies, faults } = await opened();
    let [read, most] = [0, 0];
    let stored = 0;
    faults.before("UploadPart", () => {
      most = Math.max(most, read - stored);
      stored += SINGLE_PUT_BYTES;
    });
    async function* endless(): AsyncGenerator<Buffer> {
      const chunk = Buffer.alloc(256 * KIB);
      for (; read < 6 * SINGLE_PUT_BYTES; read += chunk.length) yield chunk;
    }
    await bodies.put(newMessageId(), endless());
    assert.equal(faults.sent.get("UploadPart"), 6);
    assert.ok(most <= 2 * SINGLE_PUT_BYTES, `${most} bytes were held`);
  });

  test("a large body is read piece by piece, and no further than it is wanted", async () => {
    const { bodies, faults } = await opened();
    const id = newMessageId();
    const whole = patterned(LARGE);
    await bodies.put(id, inChunks(whole));
    faults.reset();
    const chunks = await bodies.get(id);
    assert.ok(chunks);
    let bytes = 0;
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes >= 2 * PIECE_BYTES) break;
    }
    assert.equal(faults.sent.get("GetObject"), 2);
  });

  test("a source that fails in the middle of a large body ends the upload, and nothing is left", async () => {
    const { bodies, faults, keys } = await opened();
    const trouble = new Error("the client went away");
    async function* broken(): AsyncGenerator<Buffer> {
      yield* inChunks(patterned(LARGE));
      throw trouble;
    }
    const id = newMessageId();
    await assert.rejects(bodies.put(id, broken()), trouble);
    assert.equal(faults.sent.get("AbortMultipartUpload"), 1);
    assert.equal(await bodies.get(id), null);
    assert.deepEqual(await keys(), []);
  });

  test("a part that cannot be stored ends the upload with the error of S3", async () => {
    const { bodies, faults, keys } = await opened();
    faults.fail("UploadPart", 3);
    faults.fail("AbortMultipartUpload", 3, new Error("not now"));
    const id = newMessageId();
    await assert.rejects(bodies.put(id, inChunks(patterned(LARGE))), { name: "ServiceUnavailable" });
    assert.equal(await bodies.get(id), null);
    assert.deepEqual(await keys(), []);
  });

  for (const command of ["UploadPart", "CompleteMultipartUpload"]) {
    test(`a large body is stored though an answer to ${command} was lost`, async () => {
      const { bodies, faults } = await opened();
      const id = newMessageId();
      const whole = patterned(LARGE);
      faults.loseAnswer(command);
      assert.equal(await bodies.put(id, inChunks(whole)), LARGE);
      assert.ok((await bytesOf(await bodies.get(id))).equals(whole));
    });
  }

  test("a PUT that fails once, or whose answer is lost, is stored once", async () => {
    const { bodies, faults, keys } = await opened();
    faults.fail("PutObject");
    await bodies.put(newMessageId(), inChunks(patterned(KIB)));
    faults.loseAnswer("PutObject");
    await bodies.put(newMessageId(), inChunks(patterned(KIB)));
    assert.equal((await keys()).length, 2);
  });

  test("a PUT that is done and never answered fails, and what it has stored is taken away", async () => {
    const { bodies, faults, keys } = await opened();
    faults.loseAnswer("PutObject", 3);
    const id = newMessageId();
    await assert.rejects(bodies.put(id, inChunks(patterned(KIB))), { name: "TimeoutError" });
    assert.deepEqual(await keys(), []);
    assert.equal(await bodies.get(id), null);
  });

  test("a GET that fails for a while succeeds, and one that fails for good is no missing body", async () => {
    const { bodies, faults } = await opened();
    const id = newMessageId();
    await bodies.put(id, inChunks(patterned(KIB)));
    faults.fail("GetObject", 2);
    assert.equal((await bytesOf(await bodies.get(id))).length, KIB);
    faults.fail("GetObject", 3);
    await assert.rejects(bodies.get(id), { name: "ServiceUnavailable" });
  });

  test("a slow S3 holds up the one body and no other", async () => {
    const { bodies, faults } = await opened();
    const { promise: turn, resolve: go } = Promise.withResolvers<void>();
    faults.delay("PutObject", turn);
    const slow = bodies.put(newMessageId(), inChunks(patterned(KIB)));
    assert.equal(await bodies.put(newMessageId(), inChunks(patterned(KIB))), KIB);
    go();
    assert.equal(await slow, KIB);
  });

  test("a body put by another process is found by the record of its message, and keeps to it", async () => {
    const { bodies, other, keys } = await opened();
    const id = newMessageId();
    const first = patterned(KIB);
    await bodies.put(id, inChunks(first));
    const ref = bodies.refOf(id);
    assert.ok(ref !== null);
    bodies.learn(id, ref);
    assert.equal(bodies.refOf(id), null, "it is accepted, and no more to be");
    const second = other(new Map([[id, ref]]));
    assert.ok((await bytesOf(await second.bodies.get(id))).equals(first));

    const third = other(new Map([[id, ref]]));
    await third.bodies.put(id, inChunks(patterned(2 * KIB)));
    third.bodies.learn(id, ref);
    assert.ok((await bytesOf(await third.bodies.get(id))).equals(first));
    await third.bodies.delete(id);
    for (let tries = 0; (await keys()).length > 0 && tries < 100; tries++); // the other object goes by itself
    assert.deepEqual(await keys(), []);
  });

  test("bodies of done mail are gone at once, and their objects go together", async () => {
    const { bodies, faults, keys, clock } = await opened();
    const ids = Array.from({ length: 5 }, newMessageId);
    for (const id of ids) await bodies.put(id, inChunks(patterned(KIB)));
    for (const id of ids) bodies.deleteSoon(id);
    assert.equal(await bodies.get(ids[0] as MessageId), null);
    await clock.advance(SECOND);
    await bodies.close();
    for (let tries = 0; (await keys()).length > 0 && tries < 100; tries++);
    assert.deepEqual(await keys(), []);
    assert.equal(faults.sent.get("DeleteObjects"), 1);
    assert.equal(faults.sent.get("DeleteObject"), undefined);
  });

  test("objects that cannot be deleted are told of, and nothing fails", async () => {
    const { bodies, faults, notDeleted } = await opened();
    const id = newMessageId();
    await bodies.put(id, inChunks(patterned(KIB)));
    faults.fail("DeleteObjects", 3);
    bodies.deleteSoon(id);
    await bodies.close();
    assert.equal(notDeleted.length, 1);
  });
});

/** A server that answers every GET with the same bytes, but breaks off in the middle of the first `cuts`. */
async function breakingServer(context: TestContext, whole: Buffer, cuts: number) {
  let requests = 0;
  const { clients } = await clientsOfStandIn(context, (_request, response) => {
    requests++;
    response.writeHead(200, { "content-length": whole.length, etag: '"e"' });
    if (requests > cuts) response.end(whole);
    else response.write(whole.subarray(0, whole.length / 2), () => response.destroy());
  });
  const id = newMessageId();
  return { id, ...storeOn(clients, "bucket", fakeClock(), new Map([[id, "ref"]])), requests: () => requests };
}

test("a connection to S3 that breaks in the middle of a body costs one more request", async (context) => {
  const whole = patterned(200 * KIB);
  const { bodies, id, requests } = await breakingServer(context, whole, 2);
  assert.ok((await bytesOf(await bodies.get(id))).equals(whole));
  assert.equal(requests(), 3);
});

test("a body that breaks off each time is an error, never a shorter body", async (context) => {
  const { bodies, id } = await breakingServer(context, patterned(MIB / 2), Number.POSITIVE_INFINITY);
  await assert.rejects(bodies.get(id));
});

/** What S3 insists on and local servers let pass: all parts of an upload have a checksum of the kind that it was begun with. */
test("a large body goes in parts with the checksums that S3 expects", async (context) => {
  let kind: string | null = null;
  const sums = new Map<string, string>();
  const refused =
    "<Error><Code>InvalidRequest</Code><Message>Checksum Type mismatch occurred</Message></Error>";
  const clients = await serving(context, async (request, body) => {
    const { searchParams } = new URL(request.url ?? "", "http://s3.local");
    if (searchParams.has("uploads")) {
      kind = String(request.headers["x-amz-checksum-algorithm"] ?? "none");
      return { xml: "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>" };
    }
    if (request.method === "PUT") {
      const sum = request.headers["x-amz-checksum-crc32"];
      if (kind !== "CRC32" || typeof sum !== "string") return { status: 400, xml: refused };
      const part = searchParams.get("partNumber") ?? "";
      sums.set(part, sum);
      return { headers: { etag: `"${part}"`, "x-amz-checksum-crc32": sum }, xml: "" };
    }
    const isWhole = [...sums.values()].every((sum) => body.includes(`<ChecksumCRC32>${sum}</ChecksumCRC32>`));
    return isWhole
      ? { xml: "<CompleteMultipartUploadResult><Key>k</Key></CompleteMultipartUploadResult>" }
      : { status: 400, xml: refused };
  });
  const { bodies } = storeOn(clients, "bucket", fakeClock());
  assert.equal(await bodies.put(newMessageId(), inChunks(patterned(LARGE))), LARGE);
  assert.equal(sums.size, 3);
});

interface Served {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly xml: string;
}

async function serving(
  context: TestContext,
  answer: (request: IncomingMessage, body: string) => Promise<Served>,
): Promise<AwsClients> {
  const { clients } = await clientsOfStandIn(context, (request, response) => {
    void Array.fromAsync(request as AsyncIterable<Buffer>).then(async (chunks) => {
      const {
        status = 200,
        headers = {},
        xml,
      } = await answer(request, Buffer.concat(chunks).toString("latin1"));
      response.writeHead(status, { "content-type": "application/xml", ...headers }).end(xml);
    });
  });
  return clients;
}
