/** What every QueueStore keeps to, in four parts. */

import type { OpenBackend } from "../support/backend.ts";
import { queueAcceptContract } from "./queue-accept.contract.ts";
import { queueOperateContract } from "./queue-operate.contract.ts";
import { queueSettleContract } from "./queue-settle.contract.ts";
import { queueTakeContract } from "./queue-take.contract.ts";

export function queueStoreContract(backendName: string, open: OpenBackend): void {
  queueAcceptContract(backendName, open);
  queueTakeContract(backendName, open);
  queueSettleContract(backendName, open);
  queueOperateContract(backendName, open);
}
