/**
 * What goes before the stored bytes of a message on the wire: DKIM signatures over them, then our Received line.
 * The Received line is not signed, so one signature serves all transactions of a message.
 */

import { LRUCache } from "lru-cache";

import type { Address, Domain } from "#shared/domain/address.ts";
import { domainOf } from "#shared/domain/address.ts";
import type { DkimKey } from "#shared/domain/dkim.ts";
import { keysFor, parseDkimKey, signatures } from "#shared/domain/dkim.ts";
import type { MessageId, RowId } from "#shared/domain/ids.ts";
import type { Message } from "#shared/domain/message.ts";
import { receivedHeader } from "#shared/domain/received.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { DkimKeyView } from "#shared/plugins/views.ts";

export interface Signer {
  /**
   * `headerBlock` is read only when there is a key for the message. `own`: this delivery has a header block or keys of its own, and
   * so signatures too.
   */
  sign(
    message: Message,
    headerBlock: () => Promise<Buffer>,
    to: ReceivedFor,
    own?: { readonly keys: readonly DkimKeyView[] } | null,
  ): Promise<Buffer>;
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
  /** Keys that were given over the API, for a domain and its parents. */
  storedKeys: (domain: Domain) => Promise<readonly DkimKey[]>;
  /** A key that came with a message, by the name of its secret. */
  messageKey: (name: string) => Promise<DkimKey>;
  hostname: string;
  name: string;
  now: () => EpochMs;
}): Signer {
  const cache = new LRUCache<MessageId, string>({ max: SIGNATURES_CACHED });
  const { keys, hostname, name } = options;

  async function signaturesOf(
    message: Message,
    headerBlock: () => Promise<Buffer>,
    own: { readonly keys: readonly DkimKeyView[] } | null,
  ): Promise<string> {
    const bodyHash = message.body.dkimBodyHash;
    if (bodyHash === null) return "";
    const cached = own ? undefined : cache.get(message.id);
    if (cached !== undefined) return cached;
    const { dkimKeys } = message;
    const given = own?.keys.map(keyOfView) ?? [];
    const ours = await keysOfAuthor(message.from ?? message.returnPath);
    const brought = dkimKeys === null ? [] : await keysOf(dkimKeys);
    const usable = withoutDoubles([...given, ...brought, ...ours]);
    if (usable.length === 0) return "";
    const signed = signatures({
      headerBlock: await headerBlock(),
      bodyHash,
      keys: usable,
      now: options.now(),
    });
    if (!own) cache.set(message.id, signed);
    return signed;
  }

  /** Where both have a key for one record, it is that of the configuration. */
  async function keysOfAuthor(author: Address | null): Promise<DkimKey[]> {
    if (author === null) return [];
    const domain = domainOf(author);
    return keysFor([...keys, ...(await options.storedKeys(domain))], domain);
  }

  function keysOf(names: readonly string[]): Promise<DkimKey[]> {
    return Promise.all(names.map((name) => options.messageKey(name)));
  }

  return {
    async sign(message, headerBlock, to, own = null) {
      const dkim = await signaturesOf(message, headerBlock, own);
      return Buffer.from(dkim + receivedHeader({ message, hostname, name, ...to }));
    },
  };
}

function keyOfView({ domainName, keySelector, privateKey }: DkimKeyView): DkimKey {
  return parseDkimKey({ domain: domainName, selector: keySelector, privateKey });
}

/** The first of those that stand for one record in the DNS. */
function withoutDoubles(keys: readonly DkimKey[]): DkimKey[] {
  const byRecord = new Map<string, DkimKey>();
  for (const key of keys.toReversed()) byRecord.set(`${key.selector}._domainkey.${key.domain}`, key);
  return [...byRecord.values()].toReversed();
}
