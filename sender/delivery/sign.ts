/**
 * What goes before the stored bytes of a message on the wire: DKIM signatures over them, then our Received line.
 * The Received line is not signed, so one signature serves all transactions of a message.
 */

import { LRUCache } from "lru-cache";

import type { Address } from "#shared/domain/address.ts";
import { domainOf } from "#shared/domain/address.ts";
import type { DkimKey } from "#shared/domain/dkim.ts";
import { keysFor, signatures } from "#shared/domain/dkim.ts";
import type { MessageId, RowId } from "#shared/domain/ids.ts";
import type { Message } from "#shared/domain/message.ts";
import { receivedHeader } from "#shared/domain/received.ts";
import type { EpochMs } from "#shared/domain/units.ts";

export interface Signer {
  /** `headerBlock` is read only when there is a key for the message. */
  sign(message: Message, headerBlock: () => Promise<Buffer>, to: ReceivedFor): Promise<Buffer>;
}

/** The transaction the Received line tells of; `recipient` null: there is more than one, and naming one would tell the others. */
export interface ReceivedFor {
  readonly id: RowId | MessageId;
  readonly recipient: Address | null;
}

/** An RSA signature costs a third of a millisecond: a mail to many sites, or tried again soon, is signed once. */
const SIGNATURES_CACHED = 1_000;

export function signer(options: {
  keys: readonly DkimKey[];
  hostname: string;
  name: string;
  now: () => EpochMs;
}): Signer {
  const cache = new LRUCache<MessageId, string>({ max: SIGNATURES_CACHED });
  const { keys, hostname, name } = options;

  async function signaturesOf(message: Message, headerBlock: () => Promise<Buffer>): Promise<string> {
    const bodyHash = message.body.dkimBodyHash;
    const author = message.from ?? message.returnPath;
    if (bodyHash === null || author === null || keys.length === 0) return "";
    const usable = keysFor(keys, domainOf(author));
    if (usable.length === 0) return "";
    const cached = cache.get(message.id);
    if (cached !== undefined) return cached;
    const signed = signatures({
      headerBlock: await headerBlock(),
      bodyHash,
      keys: usable,
      now: options.now(),
    });
    cache.set(message.id, signed);
    return signed;
  }

  return {
    async sign(message, headerBlock, to) {
      const dkim = await signaturesOf(message, headerBlock);
      return Buffer.from(dkim + receivedHeader({ message, hostname, name, ...to }));
    },
  };
}
