/** Uploads in S3, put by a client that knows nothing but the URL. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { s3UploadStore, URL_MS } from "#shared/aws/upload-store.ts";
import { MIB } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { newInstallation, sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { newMessageId } from "../support/builders.ts";
import { noLocalAws } from "../support/local-aws.ts";

const skip = noLocalAws();
stopLocalAwsAtEnd();

async function openStore() {
  const aws = await sharedLocalAws();
  const names = aws.newNames();
  await newInstallation(aws.clients, names);
  return s3UploadStore({ s3: aws.clients.s3, bucket: names.bucket, clock: systemClock });
}

describe("uploads in S3", { skip }, () => {
  test("are put by anybody who has the URL, read in order, and gone when deleted", async () => {
    const store = await openStore();
    const id = newMessageId();
    assert.equal(await store.get(id), null);
    const { url, expiresAt } = await store.create(id);
    assert.ok(expiresAt > Date.now() && expiresAt <= Date.now() + URL_MS);
    const mail = Buffer.from(Uint8Array.from({ length: 3 * MIB + 5 }, (_, i) => i * 31));
    const put = await fetch(url, { method: "PUT", body: mail, signal: AbortSignal.timeout(10_000) });
    assert.equal(put.status, 200, await put.text());
    const content = await store.get(id);
    assert.ok(content);
    assert.ok(Buffer.concat(await Array.fromAsync(content)).equals(mail));
    await store.delete(id);
    assert.equal(await store.get(id), null);
    await store.delete(id);
  });

  test("have a URL that is signed for its time, and not for a checksum of nothing", async () => {
    const store = await openStore();
    const id = newMessageId();
    const { searchParams, pathname } = new URL((await store.create(id)).url);
    assert.ok(pathname.endsWith(`/uploads/${id}`));
    assert.equal(searchParams.get("X-Amz-Expires"), String(URL_MS / 1_000));
    assert.equal(searchParams.get("X-Amz-SignedHeaders"), "host");
    assert.deepEqual(
      [...searchParams.keys()].filter((name) => /checksum/i.test(name)),
      [],
    );
  });
});
