/**
 * What goes before the stored bytes of a message on the wire: DKIM signatures over them, then our Received line.
 * The Received line is not signed, so one signature serves all transactions of a message.
 */

import { LRUCache } from "lru-cache";

import type { Address, Domain } from "#shared/domain/address.ts";
import { domainOf, parseDomain } from "#shared/domain/address.ts";
import type { DkimConfig } from "#shared/domain/config.ts";
import type { DkimKey } from "#shared/domain/dkim.ts";
import { dkimSourceOf, keysFor, parseAllMailKey, parseDkimKey, signatures } from "#shared/domain/dkim.ts";
import { dkimRecordName } from "#shared/domain/dkim-record.ts";
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
    transaction: SignedFor,
    own?: { readonly keys: readonly DkimKeyView[] } | null,
  ): Promise<Buffer>;
}

/** The transaction that the Received line tells of, and whose EHLO name may sign. */
export interface SignedFor {
  readonly id: RowId | MessageId;
  /** Null: there is more than one, and naming one would tell the others. */
  readonly recipient: Address | null;
  /** Null: the mail does not go by SMTP. */
  readonly ehloName: string | null;
}

export interface SignerDeps {
  readonly dkim: DkimConfig;
  /** Keys that were given over the API, for a domain and its parents. */
  readonly storedKeys: (domain: Domain) => Promise<readonly DkimKey[]>;
  /** A key that came with a message, by the name of its secret. */
  readonly messageKey: (name: string) => Promise<DkimKey>;
  readonly hostname: string;
  readonly name: string;
  readonly now: () => EpochMs;
  /** Told what an operator should change about a key. */
  readonly onWarning: (text: string) => void;
}

/** An RSA signature costs a third of a millisecond: a mail to many sites, or tried again soon, is signed once. */
const SIGNATURES_CACHED = 1_000;

export function signer(deps: SignerDeps): Signer {
  const { dkim, hostname, name } = deps;
  const cache = new LRUCache<string, string>({ max: SIGNATURES_CACHED });
  const keysOf = keyChoice(deps);

  async function signaturesOf(
    message: Message,
    headerBlock: () => Promise<Buffer>,
    ehloName: string | null,
    own: { readonly keys: readonly DkimKeyView[] } | null,
  ): Promise<string> {
    const bodyHash = message.body.dkimBodyHash;
    if (!dkim.enabled || bodyHash === null) return "";
    const host = dkim.signTransportDomain ? domainNamed(ehloName) : null;
    const cacheKey = `${message.id} ${host ?? ""}`;
    const cached = own ? undefined : cache.get(cacheKey);
    if (cached !== undefined) return cached;
    const keys = await keysOf(message, host, own?.keys ?? []);
    if (keys.length === 0) return "";
    const signed = signatures({
      headerBlock: await headerBlock(),
      bodyHash,
      keys,
      terms: dkim.terms,
      now: deps.now(),
    });
    // a signature with an end might be over it when the mail is tried again
    const hasEnd = keys.some((key) => ({ ...dkim.terms, ...key.terms }).expireInSeconds !== null);
    if (!own && !hasEnd) cache.set(cacheKey, signed);
    return signed;
  }

  return {
    async sign(message, headerBlock, { id, recipient, ehloName }, own = null) {
      const head = await signaturesOf(message, headerBlock, ehloName, own);
      return Buffer.from(head + receivedHeader({ message, hostname, name, id, recipient }));
    },
  };
}

type KeyChoice = (
  message: Message,
  /** Who is to sign as the sending host; null: nobody. */
  host: Domain | null,
  given: readonly DkimKeyView[],
) => Promise<DkimKey[]>;

/** Keys of plugins, those that came with the mail, the one for all mail, those of its author, and those of the sending host. */
function keyChoice({ dkim, storedKeys, messageKey, onWarning }: SignerDeps): KeyChoice {
  const keys = dkim.keys.map(parseDkimKey);
  const allMailKey = dkim.allMailKey && parseAllMailKey(dkim.allMailKey);
  for (const { warning } of [...keys, ...(allMailKey ? [allMailKey] : [])])
    if (warning !== null) onWarning(warning);

  /** Where both have a key for one record, it is that of the configuration. */
  async function keysOfDomain(domain: Domain | null): Promise<DkimKey[]> {
    return domain === null ? [] : keysFor([...keys, ...(await storedKeys(domain))], domain);
  }

  function forAllMail({ returnPath, from }: Message, host: Domain | null): DkimKey[] {
    if (allMailKey === null) return [];
    const author = returnPath ?? from;
    const domains = allMailKey.domain === null ? [author && domainOf(author), host] : [allMailKey.domain];
    return domains.flatMap((domain) => (domain === null ? [] : [{ ...allMailKey, domain }]));
  }

  return async (message, host, given) => {
    const author = message.from ?? message.returnPath;
    const brought = await Promise.all((message.dkimKeys ?? []).map(messageKey));
    const ofAuthor = await keysOfDomain(author && domainOf(author));
    const ofHost = await keysOfDomain(host);
    const all = [...given.map(keyOfView), ...brought, ...forAllMail(message, host), ...ofAuthor, ...ofHost];
    return withoutDoubles(all);
  };
}

/** Null: an address, or a name that is none. */
function domainNamed(name: string | null): Domain | null {
  const domain = name === null ? null : parseDomain(name);
  return domain === null || domain.startsWith("[") ? null : domain;
}

function keyOfView(view: DkimKeyView): DkimKey {
  return parseDkimKey(dkimSourceOf(view));
}

/** The first of those that stand for one record in the DNS. */
function withoutDoubles(keys: readonly DkimKey[]): DkimKey[] {
  const byRecord = new Map<string, DkimKey>();
  for (const key of keys.toReversed()) byRecord.set(dkimRecordName(key), key);
  return [...byRecord.values()].toReversed();
}
