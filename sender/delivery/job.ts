/** One unit of delivery: some rows of one message that go to one site, in one transaction when the peer lets them. */

import type { Lease } from "#shared/domain/queue-row.ts";
import type { Message } from "#shared/domain/message.ts";
import type { StsPolicy } from "#shared/domain/mta-sts.ts";
import type { WayId } from "#shared/domain/way.ts";
import type { HttpTarget, Relay, Zone } from "#shared/domain/zone.ts";
import type { DeliveryView } from "#shared/plugins/views.ts";
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
  /** Not null: it is posted there, and there are no hosts. */
  readonly http: HttpTarget | null;
  /** The recipients' own; null: the mail goes as its zone does. */
  readonly way: WayId | null;
  /** True: the return path is not rewritten. */
  readonly skipSrs: boolean;
  /** MTA-STS policy of the recipients' domain; null: none is in force, or the next hop is the operator's own word. */
  readonly sts: StsPolicy | null;
  /** What plugins see of its one recipient, and have said of it; left out: none looks at it before it is sent. */
  readonly view?: DeliveryView;
  /** What a connection must have to carry this job too (open-session.ts), and what jobs of one transaction share. */
  readonly egressKey: string;
}
