/** One unit of delivery: some rows of one message that go to one site, in one transaction when the peer lets them. */

import type { Lease } from "#shared/domain/queue-row.ts";
import type { Message } from "#shared/domain/message.ts";
import type { StsPolicy } from "#shared/domain/mta-sts.ts";
import type { Relay, Zone } from "#shared/domain/zone.ts";
import type { Host } from "./resolve-mx.ts";

export interface Job {
  readonly zone: Zone;
  readonly message: Message;
  /** 1 to `MAX_ROWS_TOGETHER`. */
  readonly leases: readonly Lease[];
  /** Names the destination for limits: a set of MX hosts, or a relay. */
  readonly site: string;
  /** In the order to try. */
  readonly hosts: readonly Host[];
  /** Not null: `hosts` are of this relay, with its port and credentials. */
  readonly relay: Relay | null;
  /** MTA-STS policy of the recipients' domain; null: none is in force, or the next hop is the operator's own word. */
  readonly sts: StsPolicy | null;
  /** Our egress address for this job and what its domain asks of TLS: what a reused connection must have. */
  readonly egressKey: string;
}
