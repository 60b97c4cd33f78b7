/**
 * Uploads as objects in S3, `uploads/<id>`: the client puts them there by itself, with a URL that is signed for this one object
 * and a short time. Those that are never sent go by the bucket's lifecycle, a day old.
 */

import { DeleteObjectCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import type { S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

import type { Clock } from "../domain/clock.ts";
import type { MessageId } from "../domain/ids.ts";
import { later, MINUTE, SECOND } from "../domain/units.ts";
import type { UploadStore } from "../ports/upload-store.ts";
import { objectReader } from "./body-reader.ts";
import { signingClient } from "./signing-client.ts";

/** Where the lifecycle of the bucket finds them. */
export const UPLOAD_PREFIX = "uploads/";
/** A URL ends with the credentials it was signed with, too: those of a role may have less than an hour left. */
export const URL_MS = 15 * MINUTE;

export interface UploadStoreDeps {
  readonly s3: S3Client;
  readonly bucket: string;
  readonly clock: Pick<Clock, "now">;
}

export function s3UploadStore({ s3, bucket, clock }: UploadStoreDeps): UploadStore {
  const read = objectReader(s3, bucket);
  let signing: S3Client | null = null;
  return {
    async create(id) {
      signing ??= signingClient(s3);
      const now = clock.now();
      const url = await getSignedUrl(signing, new PutObjectCommand({ Bucket: bucket, Key: keyOf(id) }), {
        expiresIn: URL_MS / SECOND,
        signingDate: new Date(now),
      });
      return { url, expiresAt: later(now, URL_MS) };
    },

    get: (id) => read(keyOf(id)),

    async delete(id) {
      await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: keyOf(id) }));
    },
  };
}

function keyOf(id: MessageId): string {
  return UPLOAD_PREFIX + id;
}
