/**
 * What the supervisor of a deployed host does besides keeping workers: it holds Elastic IPs for them, looks whether the host is to
 * end, and when all is sent gives the addresses back and says that the host may go.
 */

import type { Clock } from "#shared/domain/clock.ts";
import { SECOND } from "#shared/domain/units.ts";
import type { ElasticAddresses } from "#shared/ports/elastic-addresses.ts";
import type { FleetStore } from "#shared/ports/fleet-store.ts";
import type { Logger } from "#shared/runtime/log.ts";
import { repeat } from "../repeat.ts";
import type { HeldAddress } from "./held-addresses.ts";
import { addressHolder } from "./hold-addresses.ts";

export interface DeployedHost {
  /** What workers and leases of addresses say for it. */
  readonly name: string;
  readonly addresses: HostAddresses;
  /** Aborts when the host is to end. */
  readonly ending: AbortSignal;
  /** Hold addresses and look for the end, until `leave`. */
  begin(): void;
  /** Only Elastic IPs of these names are held from now on. */
  useNames(names: readonly string[]): void;
  /** All is sent: give the addresses back and, when the host is to end, let it go. In bounded time; what fails is told. */
  leave(): Promise<void>;
}

/** For the supervisor, which tells its workers. */
export interface HostAddresses {
  held(): readonly HeldAddress[];
  /** `listener` replaces the one before; it is called with all that are held after each change. */
  onHeld(listener: (held: readonly HeldAddress[]) => void): void;
}

export interface DeployedHostDeps {
  readonly elastic: ElasticAddresses;
  readonly fleet: FleetStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Id of the instance. */
  readonly name: string;
  /** Names of the Elastic IPs that are in use. */
  readonly names: readonly string[];
}

/** The lifecycle hook leaves minutes. */
const LOOK_EVERY_MS = 5 * SECOND;
/** After it the leases lapse by themselves. */
const GIVE_BACK_MS = 5 * SECOND;
/** After it the hook lets the host go by itself, minutes later. */
const SAY_ENDED_MS = 10 * SECOND;

export function deployedHost(deps: DeployedHostDeps): DeployedHost {
  const { elastic, fleet, clock, log, name } = deps;
  let names = new Set(deps.names);
  let onHeld: (held: readonly HeldAddress[]) => void = () => undefined;
  let holding: Promise<void> | null = null;
  const over = new AbortController();
  const ending = new AbortController();
  const component = "addresses";

  const holder = addressHolder({
    fleet,
    elastic: {
      ...elastic,
      list: async () => (await elastic.list()).filter((address) => names.has(address.name)),
    },
    clock,
    host: name,
    onHeld(held) {
      const shown = held.map(({ name: address, privateAddress, publicIp }) => ({
        address,
        privateAddress,
        publicIp,
      }));
      if (changed(shown)) log.info({ component, held: shown }, "addresses held");
      onHeld(held);
    },
    onTrouble: (what, error, address) =>
      log.warn({ component, what, address, err: error }, "address trouble"),
  });
  const changed = differs();

  function holdSome(): void {
    if (names.size > 0) holding ??= holder.run(over.signal);
  }

  async function look(): Promise<void> {
    if (ending.signal.aborted || !(await elastic.isEnding())) return;
    log.info({ component, host: name }, "host is to end");
    ending.abort();
  }

  /** False: it was not done in time. */
  async function within(ms: number, work: Promise<void>): Promise<boolean> {
    const done = new AbortController();
    const late = clock.sleep(ms, done.signal).then(() => false);
    const inTime = await Promise.race([work.then(() => true), late]);
    done.abort();
    return inTime;
  }

  async function sayEnded(): Promise<void> {
    const said = elastic
      .ended()
      .catch((error: unknown) => log.error({ component, err: error }, "end of the host not told"));
    if (!(await within(SAY_ENDED_MS, said))) log.error({ component }, "end of the host not told in time");
  }

  return {
    name,
    addresses: {
      held: () => holder.held(),
      onHeld(listener) {
        onHeld = listener;
      },
    },
    ending: ending.signal,
    begin() {
      const failed = (error: unknown): void => log.warn({ component, err: error }, "lifecycle not read");
      void repeat(clock, LOOK_EVERY_MS, over.signal, look, failed);
      holdSome();
    },
    useNames(those) {
      names = new Set(those);
      holdSome();
    },
    async leave() {
      over.abort();
      if (holding && !(await within(GIVE_BACK_MS, holding)))
        log.error({ component }, "addresses not given back in time: their leases lapse");
      if (ending.signal.aborted) await sayEnded();
    },
  };
}

/** True for what differs from what it was asked last. */
function differs(): (value: unknown) => boolean {
  let last = "[]";
  return (value) => {
    const text = JSON.stringify(value);
    const isNew = text !== last;
    last = text;
    return isNew;
  };
}
