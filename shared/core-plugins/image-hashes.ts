/** `core/image-hashes`: the MD5 of each image and application part, in the log and on the envelope as `attachments`. */

import { createHash } from "node:crypto";

import type { PluginApp } from "../plugins/app.ts";
import type { EnvelopeView } from "../plugins/views.ts";

export const title = "Hashes of attachments";

interface AttachmentHash {
  readonly contentType: string | null;
  readonly filename: string | null;
  readonly hash: string;
  readonly bytes: number;
}

/** Of one mail; more are not looked at. */
const MAX_ATTACHMENTS = 50;
const MAX_NAME_CHARS = 128;

export async function init(app: PluginApp): Promise<void> {
  app.addStreamHook(
    (_envelope, node) => /^(?:image|application)\//.test(node.contentType || ""),
    (envelope, node, source, done) => {
      const hash = createHash("md5");
      let bytes = 0;
      source.on("data", (chunk: Buffer) => {
        hash.update(chunk);
        bytes += chunk.length;
      });
      source.once("end", () => {
        const contentType = node.contentType || null;
        const filename = node.filename ? node.filename.slice(0, MAX_NAME_CHARS) : null;
        keep(envelope, { contentType, filename, hash: hash.digest("hex"), bytes });
        done();
      });
    },
  );

  app.addHook("message:queue", async (envelope) => {
    for (const { contentType, filename, hash, bytes } of attachmentsOf(envelope))
      app.logger.info(
        "ImageHashes",
        "id=%s type=%s name=%s bytes=%d md5=%s",
        envelope.id,
        contentType,
        filename,
        bytes,
        hash,
      );
  });
}

function keep(envelope: EnvelopeView, attachment: AttachmentHash): void {
  const list = attachmentsOf(envelope);
  if (list.length < MAX_ATTACHMENTS) envelope["attachments"] = [...list, attachment];
}

function attachmentsOf(envelope: EnvelopeView): readonly AttachmentHash[] {
  return (envelope["attachments"] as readonly AttachmentHash[] | undefined) ?? [];
}
