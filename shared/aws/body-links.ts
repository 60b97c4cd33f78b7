/** Bodies by URLs that S3 answers, each signed for one object and a short time. S3 says what it is, so that no browser shows it as a page. */

import { GetObjectCommand, HeadObjectCommand } from "@aws-sdk/client-s3";
import type { S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

import type { Clock } from "../domain/clock.ts";
import type { MessageId } from "../domain/ids.ts";
import { later, MINUTE, SECOND } from "../domain/units.ts";
import type { BodyLinks } from "../ports/body-links.ts";
import { hasName } from "./aws-errors.ts";
import { bodyKey } from "./body-store.ts";
import type { BodyRef } from "./body-store.ts";
import { signingClient } from "./signing-client.ts";

/** Whoever is sent there goes at once. */
const LINK_MS = 5 * MINUTE;

export interface BodyLinksDeps {
  readonly s3: S3Client;
  readonly bucket: string;
  readonly clock: Pick<Clock, "now">;
  /** Null: there is no such message. */
  readonly readRef: (id: MessageId) => Promise<BodyRef | null>;
}

export function s3BodyLinks({ s3, bucket, clock, readRef }: BodyLinksDeps): BodyLinks {
  let signing: S3Client | null = null;

  async function isThere(Key: string): Promise<boolean> {
    try {
      await s3.send(new HeadObjectCommand({ Bucket: bucket, Key }));
      return true;
    } catch (error) {
      if (hasName(error, "NotFound") || hasName(error, "NoSuchKey")) return false;
      throw error;
    }
  }

  return {
    async link(id, method) {
      const ref = await readRef(id);
      if (ref === null || !(await isThere(bodyKey(id, ref)))) return null;
      signing ??= signingClient(s3);
      const now = clock.now();
      const input = {
        Bucket: bucket,
        Key: bodyKey(id, ref),
        ResponseContentType: "message/rfc822",
        ResponseContentDisposition: `attachment; filename="${id}.eml"`,
        ResponseCacheControl: "no-store",
      };
      const command = method === "GET" ? new GetObjectCommand(input) : new HeadObjectCommand(input);
      const options = { expiresIn: LINK_MS / SECOND, signingDate: new Date(now) };
      return { url: await getSignedUrl(signing, command, options), expiresAt: later(now, LINK_MS) };
    },
  };
}
