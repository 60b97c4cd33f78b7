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
  /** A key that came with a message, by the name of its secret. */
  messageKey: (name: string) => Promise<DkimKey>;
  hostname: string;
  name: string;
  now: () => EpochMs;
}): Signer {
  const cache = new LRUCache<MessageId, string>({ max: SIGNATURES_CACHED });
  const { keys, hostname, name } = options;

  async function signaturesOf(message: Message, headerBlock: () => Promise<Buffer>): Promise<string> {
    const bodyHash = message.body.dkimBodyHash;
    const author = message.from ?? message.returnPath;
    const { dkimKeys } = message;
    if (bodyHash === null || (keys.length === 0 && dkimKeys === null)) return "";
    const cached = cache.get(message.id);
    if (cached !== undefined) return cached;
    const ours = author === null ? [] : keysFor(keys, domainOf(author));
    const usable = dkimKeys === null ? ours : withoutDoubles([...(await keysOf(dkimKeys)), ...ours]);
    if (usable.length === 0) return "";
    const signed = signatures({
      headerBlock: await headerBlock(),
      bodyHash,
      keys: usable,
      now: options.now(),
    });
    cache.set(message.id, signed);
    return signed;
  }

  function keysOf(names: readonly string[]): Promise<DkimKey[]> {
    return Promise.all(names.map((name) => options.messageKey(name)));
  }

  return {
    async sign(message, headerBlock, to) {
      const dkim = await signaturesOf(message, headerBlock);
      return Buffer.from(dkim + receivedHeader({ message, hostname, name, ...to }));
    },
  };
}

/** The first of those that stand for one record in the DNS. */
function withoutDoubles(keys: readonly DkimKey[]): DkimKey[] {
  const byRecord = new Map<string, DkimKey>();
  for (const key of keys.toReversed()) byRecord.set(`${key.selector}._domainkey.${key.domain}`, key);
  return [...byRecord.values()].toReversed();
}
