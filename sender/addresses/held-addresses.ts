/** Which Elastic IPs this host may send from just now, as a worker knows it from its supervisor (hold-addresses.ts decides it). */

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";

/** An Elastic IP that mail may leave by. */
export interface HeldAddress {
  /** EHLO name. */
  readonly name: string;
  /** What a connection binds. */
  readonly privateAddress: string;
  readonly publicIp: string;
  /** Not used from then on, unless it is held for longer. */
  readonly until: EpochMs;
}

export interface HeldAddresses {
  /** IP address to bind for the Elastic IP of that name; null: another host holds it, or none. */
  readonly placeOf: (name: string) => string | null;
  names(): string[];
  /** The supervisor has said it anew. */
  replace(held: readonly HeldAddress[]): void;
}

export function heldAddresses(clock: Pick<Clock, "now">): HeldAddresses {
  let byName = new Map<string, HeldAddress>();
  const placeOf = (name: string): string | null => {
    const held = byName.get(name);
    return held && held.until > clock.now() ? held.privateAddress : null;
  };
  return {
    placeOf,
    names: () => [...byName.keys()].filter((name) => placeOf(name) !== null),
    replace(held) {
      byName = new Map(held.map((one) => [one.name, one]));
    },
  };
}
