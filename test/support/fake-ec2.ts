/**
 * EC2 as hosts see it, with its rules: an Elastic IP stands before one private address at a time, a private address has one Elastic IP,
 * to associate one again moves it, reverse DNS is refused while the name does not lead to the address, and each call takes its time.
 * It keeps who stood where and when, so that a test can look for an address in two places.
 */

import type { Clock } from "#shared/domain/clock.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import type { ElasticAddress, ElasticAddresses } from "#shared/ports/elastic-addresses.ts";

interface Allocation {
  readonly id: string;
  readonly name: string;
  readonly publicIp: string;
  at: ElasticAddress["at"];
  reverseName: string | null;
}

export interface Move {
  readonly name: string;
  /** Network interface. */
  readonly to: string;
  readonly at: EpochMs;
}

/** As one host sees it, and what the test has to say of that. */
export interface FakeHost extends ElasticAddresses {
  /** It is to end. */
  end(): void;
  readonly hasEnded: boolean;
}

export interface FakeEc2 {
  /** A host with so many private addresses besides its own, or with these. */
  host(networkInterface: string, places: number | readonly string[]): FakeHost;
  readonly moves: readonly Move[];
  /** Where an address stands: the network interface; null: nowhere. */
  placeOf(name: string): string | null;
  reverseNameOf(name: string): string | null;
  /** Names that lead to their addresses. */
  readonly published: Set<string>;
  /** Null: all is well. */
  outage: Error | null;
}

export function fakeEc2({ clock, names }: { clock: Clock; names: readonly string[] }): FakeEc2 {
  const allocations = new Map<string, Allocation>(
    names.map((name, i) => [
      `eipalloc-${i}`,
      { id: `eipalloc-${i}`, name, publicIp: `198.51.100.${i + 1}`, at: null, reverseName: null },
    ]),
  );
  const moves: Move[] = [];
  const byName = (name: string) => [...allocations.values()].find((each) => each.name === name);
  const fake: FakeEc2 = {
    moves,
    published: new Set(names),
    outage: null,
    placeOf: (name) => byName(name)?.at?.networkInterface ?? null,
    reverseNameOf: (name) => byName(name)?.reverseName ?? null,
    host(networkInterface, places) {
      const privateAddresses =
        typeof places === "number"
          ? Array.from({ length: places }, (_, i) => `10.25.0.${i + 10}`)
          : [...places];
      let isEnding = false;
      let hasEnded = false;
      const answer = async (): Promise<void> => {
        if (fake.outage) throw fake.outage;
      };
      return {
        end: () => void (isEnding = true),
        get hasEnded() {
          return hasEnded;
        },
        async list() {
          await answer();
          return [...allocations.values()].map(({ id, name, publicIp, at }) => ({ id, name, publicIp, at }));
        },
        async host() {
          await answer();
          return { instance: `i-${networkInterface}`, networkInterface, privateAddresses };
        },
        async associate(id, privateAddress) {
          await answer();
          const allocation = allocations.get(id);
          if (!allocation) throw new Error("InvalidAllocationID.NotFound");
          if (!privateAddresses.includes(privateAddress)) throw new Error("InvalidParameterValue");
          for (const other of allocations.values()) {
            const isThere =
              other.at?.networkInterface === networkInterface && other.at.privateAddress === privateAddress;
            if (isThere) other.at = null;
          }
          allocation.at = { networkInterface, privateAddress };
          moves.push({ name: allocation.name, to: networkInterface, at: clock.now() });
        },
        async setReverseName(id, name) {
          await answer();
          const allocation = allocations.get(id);
          if (!allocation || !fake.published.has(name))
            throw new Error("InvalidParameterValue: no forward record");
          allocation.reverseName = name;
        },
        async isEnding() {
          await answer();
          return isEnding;
        },
        async ended() {
          hasEnded = true;
        },
      };
    },
  };
  return fake;
}
