/**
 * Mail that is too large for one request of a Lambda: `POST /uploads` gives a URL to put it to, `POST /send-raw?upload=<id>` sends
 * what was put there.
 *
 * The id of an upload is the id of the message it becomes. So the queue itself knows whether it was sent, however often and
 * however close together it is asked for, and nothing else has to be kept.
 */

import { DomainError } from "../domain/errors.ts";
import type { MessageId } from "../domain/ids.ts";
import { parseMessageId } from "../domain/ids.ts";
import type { QueueStore } from "../ports/queue-store.ts";
import type { UploadStore } from "../ports/upload-store.ts";
import type { Submitted } from "./submission.ts";

export interface UploadDeps {
  /** Null: uploads are not needed here. */
  readonly store: UploadStore | null;
  readonly queue: Pick<QueueStore, "get">;
  readonly newMessageId: () => MessageId;
  /** Of the largest mail: told to who uploads, and enforced when it is sent. */
  readonly maxBytes: number;
  /** An upload that was sent and could not be deleted: it goes by itself within a day. */
  readonly onUndeleted: (id: MessageId, error: unknown) => void;
}

export interface Upload {
  readonly id: MessageId;
  readonly url: string;
  readonly method: "PUT";
  /** When the URL takes nothing more. */
  readonly expires: string;
  /** Bytes of the largest mail that is sent. */
  readonly maxSize: number;
}

export interface Uploads {
  create(): Promise<Upload>;
  /** The id of an upload and of its message. Throws not-found for what is no id. */
  idOf(text: string): MessageId;
  /** Send it once, by `work`. Throws conflict when it was sent, not-found when nothing was put there. */
  send(id: MessageId, work: (source: AsyncIterable<Buffer>) => Promise<Submitted>): Promise<Submitted>;
}

export function uploads(deps: UploadDeps): Uploads {
  const { queue, newMessageId, maxBytes, onUndeleted } = deps;
  const stored = (): UploadStore => {
    if (deps.store) return deps.store;
    const text = `nothing needs to be uploaded here: POST /send-raw takes mail of up to ${maxBytes} bytes as it is`;
    throw new DomainError("not-found", text, "upload");
  };
  /** In this process; another one's is told by the queue. */
  const underWay = new Set<MessageId>();

  async function sendOnce(
    id: MessageId,
    work: (source: AsyncIterable<Buffer>) => Promise<Submitted>,
  ): Promise<Submitted> {
    const store = stored();
    if (await queue.get(id)) throw sentAlready(id);
    const submitted = await work(contentOf(store, id)).catch(async (error: unknown) => {
      // Another request may have sent it meanwhile, and have deleted it before it was read, or half read.
      const sent = await queue.get(id).catch(() => null);
      throw sent ? sentAlready(id) : error;
    });
    if (submitted.repeated) throw sentAlready(id);
    await store.delete(id).catch((error: unknown) => onUndeleted(id, error));
    return submitted;
  }

  return {
    async create() {
      const store = stored();
      const id = newMessageId();
      const { url, expiresAt } = await store.create(id);
      return { id, url, method: "PUT", expires: new Date(expiresAt).toISOString(), maxSize: maxBytes };
    },

    idOf(text) {
      stored();
      const id = parseMessageId(text);
      if (id === null) throw noSuchUpload();
      return id;
    },

    async send(id, work) {
      if (underWay.has(id))
        throw new DomainError("conflict", "this upload is being sent by another request", "upload");
      underWay.add(id);
      try {
        return await sendOnce(id, work);
      } finally {
        underWay.delete(id);
      }
    },
  };
}

/** Opened when it is first read, so that a request refused before leaves no connection behind. */
async function* contentOf(store: UploadStore, id: MessageId): AsyncGenerator<Buffer> {
  const content = await store.get(id);
  if (!content) throw noSuchUpload();
  yield* content;
}

function noSuchUpload(): DomainError {
  const text =
    "there is no such upload: POST /uploads gives an id and a URL; PUT the mail there first, and send it within a day";
  return new DomainError("not-found", text, "upload");
}

function sentAlready(id: MessageId): DomainError {
  return new DomainError("conflict", `this upload was sent already: see GET /message/${id}`, "upload");
}
