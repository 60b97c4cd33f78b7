/** What contract suites and property tests of the queue share: how a backend is opened, and plain calls. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Clock } from "#shared/domain/clock.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import type { Message } from "#shared/domain/message.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import { MINUTE } from "#shared/domain/units.ts";
import { openEmbedded } from "#shared/embedded/open.ts";
import type { EmbeddedBackend, EmbeddedOptions } from "#shared/embedded/open.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { TakeRequest } from "#shared/ports/queue-store.ts";
import { anna, message, queueRow, zoneA } from "./builders.ts";

/** A new, empty backend; disposed of when its test ends. */
export type OpenBackend = (
  clock: Clock,
  options?: { historyMs?: number },
) => Promise<{ backend: Backend } & AsyncDisposable>;

/** An embedded backend in a folder of its own, both gone when the test ends. */
export async function embeddedBackend(
  clock: Clock,
  options: Omit<EmbeddedOptions, "dataDir" | "clock"> = {},
): Promise<{ backend: EmbeddedBackend; dataDir: string } & AsyncDisposable> {
  const dataDir = await mkdtemp(join(tmpdir(), "zonefleet-backend-"));
  const backend = await openEmbedded({ dataDir, clock, ...options });
  return {
    backend,
    dataDir,
    async [Symbol.asyncDispose]() {
      await backend.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** All that is due in zone `a`, for anna, without waiting. */
export function takeRequest(fields: Partial<TakeRequest> = {}): TakeRequest {
  return {
    zone: zoneA,
    worker: anna,
    max: 1_000,
    maxPerDomain: 1_000,
    avoid: new Set(),
    leaseMs: MINUTE,
    waitMs: 0,
    ...fields,
  };
}

/** Accept a message of that many rows, with a body; `fields` are of its rows. */
export async function acceptMail(
  backend: Backend,
  clock: Clock,
  mail: { rows?: number; fields?: Partial<QueueRow>; message?: Partial<Message>; body?: string } = {},
): Promise<{ message: Message; rows: QueueRow[] }> {
  const { rows: count = 1, fields = {}, body = "\r\nhello" } = mail;
  const accepted = message({ acceptedAt: clock.now(), recipientCount: count, ...mail.message });
  const rows = Array.from({ length: count }, (_, index) => queueRow(accepted, index + 1, fields));
  await backend.bodies.put(accepted.id, chunks(body));
  await backend.queue.accept(accepted, rows);
  return { message: accepted, rows };
}

export async function* chunks(...parts: (string | Buffer)[]): AsyncIterable<Buffer> {
  for (const part of parts) yield Buffer.from(part);
}

/** The stored body; null: there is none. */
export async function bodyOf(backend: Pick<Backend, "bodies">, id: MessageId): Promise<Buffer | null> {
  const stored = await backend.bodies.get(id);
  if (!stored) return null;
  return Buffer.concat(await Array.fromAsync(stored));
}
