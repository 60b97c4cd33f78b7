/** Which worker is alive, and which egress addresses it holds. */

import type { WorkerId } from "../domain/ids.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";

/** Domains that a worker takes no more mail for just now, since their connections are in use. */
export interface FullDomains {
  readonly zone: ZoneName;
  /** Names; `*`: all of the zone. */
  readonly domains: readonly string[];
}

export interface FleetMember {
  readonly worker: WorkerId;
  readonly hostname: string;
  readonly pid: number;
  readonly startedAt: EpochMs;
  /** Alive until then unless it says so again. */
  readonly until: EpochMs;
  /** Egress addresses it holds. */
  readonly addresses: readonly string[];
  /** When it last said that it is alive; left out: none are full. */
  readonly full?: readonly FullDomains[];
}

/** A host's right to send from an address that any host could have. */
export interface AddressLease {
  /** EHLO name of the egress address. */
  readonly address: string;
  readonly host: string;
  /** When it took it. */
  readonly since: EpochMs;
  /** Over then unless it is held for longer; the host itself has stopped by that time. */
  readonly until: EpochMs;
}

export interface FleetStore {
  /** Enter or stay. */
  beat(member: FleetMember): Promise<void>;
  leave(worker: WorkerId): Promise<void>;
  /** Those whose time is not over. */
  living(): Promise<FleetMember[]>;
  /**
   * Take an address that no host holds, or hold it for longer. False: another host holds it. Another's is free some seconds after its
   * time at the latest, for clocks differ.
   */
  holdAddress(lease: AddressLease): Promise<boolean>;
  /** Free at once. Nothing happens when another host has it by now. */
  releaseAddress(address: string, host: string): Promise<void>;
  /** All that are held, and some whose time is over. */
  addressLeases(): Promise<AddressLease[]>;
}
