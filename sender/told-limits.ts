/** The LimitStore of a worker, with a line in the log, in ZoneMTA's words, for each egress address that is blocked or may be used again. */

import type { LimitStore } from "#shared/ports/limit-store.ts";
import type { Logger } from "#shared/runtime/log.ts";

export function toldLimits(limits: LimitStore, log: Pick<Logger, "info">): LimitStore {
  return {
    ...limits,
    async block(entry) {
      await limits.block(entry);
      const { address, site, until, response } = entry;
      const end = new Date(until).toISOString();
      log.info(
        { component: "zone", event: "ADDBLADDRESS", address, site, until: end, response },
        "address blocked",
      );
    },
    async unblock(address, site) {
      const gone = await limits.unblock(address, site);
      if (gone) log.info({ component: "api", event: "DELBLADDRESS", address, site }, "address unblocked");
      return gone;
    },
  };
}
