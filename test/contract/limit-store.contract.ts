/** What every LimitStore keeps to, in three parts. */

import { describe } from "node:test";

import type { Clock } from "#shared/domain/clock.ts";
import type { LimitStore } from "#shared/ports/limit-store.ts";
import { limitBlocksContract } from "./limit-blocks.contract.ts";
import { limitRatesContract } from "./limit-rates.contract.ts";
import { limitSlotsContract } from "./limit-slots.contract.ts";

/** A new, empty store; disposed of when its test ends. */
export type OpenLimitStore = (clock: Clock) => Promise<{ store: LimitStore } & AsyncDisposable>;

export function limitStoreContract(backend: string, open: OpenLimitStore): void {
  describe(`LimitStore on ${backend}`, () => {
    limitSlotsContract(open);
    limitRatesContract(open);
    limitBlocksContract(open);
  });
}
