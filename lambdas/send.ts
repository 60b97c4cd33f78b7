/**
 * `POST /send`, `POST /send-raw` and `POST /uploads`. 200 means stored for good and to be tried, not delivered.
 *
 * With an Idempotency-Key a request goes through `sendOnce`, which answers it as the first one of that key was.
 */

import { randomBytes } from "node:crypto";

import type { KeyedAnswer, Receipt, SendOnce } from "#shared/app/idempotency.ts";
import { receiptOf, rowsOf, sendOnce } from "#shared/app/idempotency.ts";
import { routes } from "#shared/app/routes.ts";
import type { Client, RawEnvelope, Send } from "#shared/app/send.ts";
import { sendUseCases } from "#shared/app/send.ts";
import type { Submit } from "#shared/app/submission.ts";
import type { Uploads } from "#shared/app/uploads.ts";
import { uploads } from "#shared/app/uploads.ts";
import type { Config } from "#shared/domain/config.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { messageIds } from "#shared/domain/ids.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { SenderDirectory } from "#shared/ports/sender-directory.ts";

import type { EndpointDeps } from "./endpoint.ts";
import { endpoint } from "./endpoint.ts";
import type { ApiEvent, ApiHandler, ApiResult } from "./http.ts";
import { bodyOf, callerKey, jsonResult, readJson, uploadAdvice } from "./http.ts";
import { HttpError } from "./http-error.ts";

export interface SendHandlerDeps extends EndpointDeps {
  readonly config: Pick<Config, "api" | "queue">;
  readonly backend: Pick<Backend, "idempotency" | "queue" | "uploads">;
  /** The operator's directory of senders; null: none. */
  readonly senders: SenderDirectory | null;
  readonly submit: Submit;
  /** What a request's body may have when that is less than a mail may; what is larger is to be uploaded. Left out: as much. */
  readonly maxBodyBytes?: number;
}

interface UseCases {
  readonly send: Send;
  readonly once: SendOnce;
  readonly uploaded: Uploads;
  /** What a request's body may have, and what to do about one that has more. */
  readonly maxBytes: number;
  readonly advice: string;
}

interface SendHeaders {
  readonly "x-originating-ip"?: string | undefined;
  readonly "x-authenticated-user"?: string | undefined;
  readonly "idempotency-key"?: string | undefined;
}

export function sendHandlers(deps: SendHandlerDeps): Record<"send" | "sendRaw" | "uploads", ApiHandler> {
  const useCases = useCasesOf(deps);
  const { send, once, uploaded, maxBytes, advice } = useCases;
  return {
    send: endpoint(routes.send, deps, async ({ headers, event }) => {
      send.assertOpen();
      const client = clientOf(event, headers);
      const fields = await readJson(event, maxBytes, advice);
      const key = headers["idempotency-key"];
      if (key === undefined) return queued(receiptOf(await send.fields(fields, client)));
      const request = { key, ...callerOf(event, client), source: null, messageId: null };
      const facts = ["send", client.originatingIp, JSON.stringify(fields)];
      return keyed(await once({ ...request, facts }, (id) => send.fields(fields, client, id)));
    }),

    sendRaw: endpoint(routes.sendRaw, deps, async ({ query, headers, event }) => {
      send.assertOpen();
      const client = clientOf(event, headers);
      const to = typeof query.to === "string" ? [query.to] : (query.to ?? null);
      const envelope = { from: query.from ?? null, to };
      const upload = query.upload === undefined ? null : uploaded.idOf(query.upload);
      const source = upload === null ? bodyOf(event, maxBytes, advice) : nothing();
      const work = rawWork(useCases, { envelope, client, upload });
      const key = headers["idempotency-key"];
      if (key === undefined) return queued(receiptOf(await work(undefined, source)));
      const request = { key, ...callerOf(event, client), messageId: upload };
      const facts = ["send-raw", client.originatingIp, upload, envelope.from, ...(to ?? [null])];
      return keyed(await once({ ...request, facts, source: upload === null ? source : null }, work));
    }),

    uploads: endpoint(routes.uploads, deps, async () => {
      send.assertOpen();
      return jsonResult(200, await uploaded.create());
    }),
  };
}

function useCasesOf(deps: SendHandlerDeps): UseCases {
  const { config, backend, senders, submit, clock, log, maxBodyBytes } = deps;
  const { api, queue } = config;
  const { maxSize } = api;
  const told = (what: string) => (messageId: MessageId, error: unknown) =>
    log.error({ component: "api", messageId, err: error }, what);
  return {
    send: sendUseCases({
      submit,
      clock,
      api,
      maxDelayMs: queue.maxDelayMs,
      senders,
    }),
    once: sendOnce({
      store: backend.idempotency,
      queue: backend.queue,
      clock,
      onUnwritten: told("answer not kept for its Idempotency-Key"),
    }),
    uploaded: uploads({
      store: backend.uploads,
      queue: backend.queue,
      newMessageId: messageIds(() => clock.now(), randomBytes),
      maxBytes: maxSize,
      onUndeleted: told("upload not deleted"),
    }),
    maxBytes: Math.min(maxSize, maxBodyBytes ?? maxSize),
    advice: backend.uploads && maxBodyBytes !== undefined ? uploadAdvice(maxSize) : "",
  };
}

/** Sends a mail given whole: what was uploaded, under the upload's id, else what streams in. */
function rawWork(
  { send, uploaded }: UseCases,
  { envelope, client, upload }: { envelope: RawEnvelope; client: Client; upload: MessageId | null },
) {
  return (id: MessageId | undefined, source: AsyncIterable<Buffer>) =>
    upload === null
      ? send.raw(source, envelope, client, id)
      : uploaded.send(upload, (content) => send.raw(content, envelope, client, upload));
}

async function* nothing(): AsyncIterable<Buffer> {
  // no chunk
}

function clientOf(event: ApiEvent, headers: SendHeaders): Client {
  return {
    sourceIp: event.requestContext.http.sourceIp || null,
    originatingIp: headers["x-originating-ip"] ?? null,
    user: headers["x-authenticated-user"] ?? null,
  };
}

/** Whose Idempotency-Key it is. */
function callerOf(event: ApiEvent, { user }: Client): { keyId: string | null; user: string | null } {
  return { keyId: event[callerKey] ?? null, user };
}

/** Another request of that key may be done soon, in seconds. */
const RETRY_AFTER = "1";

function keyed(answer: KeyedAnswer): ApiResult {
  switch (answer.kind) {
    case "sent": {
      const result = queued(answer.receipt);
      return answer.replayed
        ? { ...result, headers: { ...result.headers, "idempotent-replayed": "true" } }
        : result;
    }
    case "busy": {
      const text =
        "a request with this Idempotency-Key is being worked on; send it again in a moment to get its answer";
      throw new HttpError(409, "idempotency-key-busy", text, { "retry-after": RETRY_AFTER });
    }
    case "other": {
      const text =
        "this Idempotency-Key was used for another request in the last 24 hours; take a new key for each mail";
      throw new HttpError(422, "idempotency-key-reused", text);
    }
    case "over": {
      const text = `this Idempotency-Key was used for message ${answer.messageId}, which was accepted and is not kept any more`;
      throw new HttpError(409, "conflict", text);
    }
  }
}

function queued(receipt: Receipt): ApiResult {
  const recipients = rowsOf(receipt);
  return jsonResult(200, {
    id: receipt.messageId,
    from: receipt.returnPath ?? "",
    to: recipients.map(({ recipient }) => recipient),
    response: `Message queued as ${receipt.messageId}`,
    recipients,
  });
}
