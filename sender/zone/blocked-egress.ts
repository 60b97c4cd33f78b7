/** Which egress address may not talk to which site now: a view of the LimitStore that is a few seconds old at most. */

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { BlockedEgress, LimitStore } from "#shared/ports/limit-store.ts";

export interface BlockedEgressView {
  /** Read again when the view is old. */
  refresh(): Promise<void>;
  /** Block for all; here from now on, so that what is tried again at once goes another way. */
  block: LimitStore["block"];
  isBlocked(address: string, site: string): boolean;
  readonly size: number;
}

const VIEW_MS = 3 * SECOND;

export function blockedEgressView(deps: { limits: LimitStore; clock: Clock }): BlockedEgressView {
  const { limits, clock } = deps;
  let view = new Map<string, EpochMs>();
  /** Of this process, made so lately that a list asked for meanwhile may not have them. */
  let own: BlockedEgress[] = [];
  let readAt = 0 as EpochMs;
  const keyOf = (address: string, site: string): string => `${address} ${site}`;
  const show = ({ address, site, until }: BlockedEgress): void => void view.set(keyOf(address, site), until);
  return {
    async refresh() {
      const now = clock.now();
      if (now < later(readAt, VIEW_MS)) return;
      readAt = now;
      const entries = await limits.blocked();
      own = own.filter(({ createdAt }) => now < later(createdAt, VIEW_MS));
      view = new Map();
      for (const entry of [...entries, ...own]) show(entry);
    },
    async block(entry) {
      await limits.block(entry);
      own.push(entry);
      show(entry);
    },
    isBlocked: (address, site) => (view.get(keyOf(address, site)) ?? 0) > clock.now(),
    get size() {
      return view.size;
    },
  };
}
