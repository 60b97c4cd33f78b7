/**
 * Items of mail that cannot be read: a fault of ours, or of a hand, that must not stop the mail beside it.
 *
 * Whoever meets one goes on as if it were not there. It stays where it is, with the time and the reason written beside what it
 * holds, and leaves the indexes: nothing leads to it any more, so it is met and told of once. The rows of a message set aside
 * follow when they are met, for they cannot be sent. The body stays until the bucket's lifecycle takes it.
 *
 *   ua when it was set aside   ur why
 */

import type { Clock } from "../domain/clock.ts";
import { MARK } from "./batch-statement.ts";
import type { WriteItem } from "./batch-statement.ts";
import type { Beside } from "./beside.ts";
import { BY_TIME, BY_ZONE } from "./keys.ts";
import { keyOf } from "./row-item.ts";
import type { Item, StoredItemError } from "./row-item.ts";

/** Set aside an item that cannot be read. It does not fail: who meets the item next does it again. */
export type SetAside = (item: Item, error: StoredItemError) => void;

export interface SetAsideDeps {
  readonly write: WriteItem;
  readonly beside: Beside;
  readonly clock: Clock;
  /** Told when the item has been set aside. */
  readonly onSetAside: (error: StoredItemError) => void;
}

const SET_ASIDE_AT = "ua";
const REASON = "ur";
const MAX_REASON_CHARS = 300;
const INDEX_KEYS = [BY_ZONE, BY_TIME].flatMap(({ partition, sort }) => [partition, sort]);

export function isAside(item: Item): boolean {
  return item[SET_ASIDE_AT] !== undefined;
}

export function itemsSetAside({ write, beside, clock, onSetAside }: SetAsideDeps): SetAside {
  /** Being set aside: an item may be met many times until it is. */
  const underWay = new Set<string>();

  async function setAside(item: Item, error: StoredItemError): Promise<void> {
    const mark = item[MARK];
    const answer = await write({
      kind: "update",
      key: keyOf(item),
      set: { [SET_ASIDE_AT]: clock.now(), [REASON]: error.message.slice(0, MAX_REASON_CHARS) },
      remove: INDEX_KEYS,
      when: typeof mark === "string" ? { [MARK]: mark } : {}, // changed in between: it is read again
    });
    if (answer.kind === "written") onSetAside(error);
  }

  return (item, error) => {
    const { PK, SK } = keyOf(item);
    const name = `${PK} ${SK}`;
    if (underWay.has(name)) return;
    underWay.add(name);
    void beside.run(() => setAside(item, error).finally(() => underWay.delete(name)));
  };
}
