/**
 * Mail for tests that make AWS fail: submitted again until it is accepted, each mail to an address of its own, and what became of it
 * held against what the receiver has. Counts of deliveries are by recipient.
 */

import assert from "node:assert/strict";

import { isFinal } from "#shared/domain/queue-row.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { submission } from "./app.ts";
import { address } from "./builders.ts";
import type { FakeMx } from "./fake-mx.ts";
import { eventually } from "./relay-process.ts";
import type { Relay } from "./relay.ts";

export interface SentMail {
  readonly id: MessageId;
  readonly recipient: string;
}

const RETRY_MS = 100;
const SUBMIT_PATIENCE_MS = 60 * SECOND;

/** Submit mails to relays in turn, `atOnce` at a time. What a relay refuses is submitted anew, as a client would. */
export async function submitMails(
  relays: readonly Relay[],
  {
    count,
    atOnce = 10,
    prefix = "r",
    patienceMs = SUBMIT_PATIENCE_MS,
  }: { count: number; atOnce?: number; prefix?: string; patienceMs?: number },
): Promise<{ mails: SentMail[]; refused: number }> {
  const mails: SentMail[] = [];
  let refused = 0;
  let next = 0;
  const deadline = Date.now() + patienceMs;
  const client = async (): Promise<void> => {
    while (next < count) {
      const number = next++;
      const relay = relays[number % relays.length] as Relay;
      const recipient = `${prefix}${number}@one.example`;
      for (;;) {
        try {
          const { messageId } = await relay.submit(submission({ recipients: [address(recipient)] }));
          mails.push({ id: messageId, recipient });
          break;
        } catch (error) {
          if (Date.now() > deadline) throw error;
          refused++;
          await systemClock.sleep(RETRY_MS);
        }
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return { mails, refused };
}

/** Resolves when every accepted mail is delivered, and to nobody more than once; `doubles` may have come twice. */
export async function allDelivered(
  relay: Relay,
  mx: FakeMx,
  { mails, patienceMs, doubles = 0 }: { mails: readonly SentMail[]; patienceMs: number; doubles?: number },
): Promise<void> {
  const open = new Map(mails.map((mail) => [mail.id, mail]));
  await eventually("the end of all mail", patienceMs, async () => {
    for (const id of [...open.keys()].slice(0, 50)) {
      const stored = await relay.backend.queue.get(id).catch(() => null);
      if (stored?.rows.every(({ state }) => isFinal(state)) === true) open.delete(id);
    }
    return open.size === 0 ? true : null;
  }).catch((error: unknown) => {
    throw new Error(`${open.size} of ${mails.length} mails are open`, { cause: error });
  });
  for (const { id } of mails) {
    const { rows } = await relay.message(id);
    assert.deepEqual(
      rows.map(({ state }) => state),
      ["delivered"],
    );
  }
  const got = deliveriesIn(mx);
  assert.deepEqual(
    mails.filter(({ recipient }) => !got.has(recipient)),
    [],
    "delivered, and nobody has it",
  );
  const twice = mails.filter(({ recipient }) => (got.get(recipient) ?? 0) > 1);
  assert.ok(twice.length <= doubles, `${twice.length} mails came twice, where ${doubles} may`);
}

/** Times each recipient was delivered to. */
export function deliveriesIn({ mails }: FakeMx): Map<string, number> {
  const counts = new Map<string, number>();
  for (const recipient of mails.flatMap(({ recipients }) => recipients)) {
    counts.set(recipient, (counts.get(recipient) ?? 0) + 1);
  }
  return counts;
}
