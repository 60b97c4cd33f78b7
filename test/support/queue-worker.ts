/**
 * A process of its own on a data folder, for tests that need two or kill one: accepts `count` messages, says `accepted`, waits
 * for a word, then takes and settles rows until none is left, reporting each batch. Run by `fork`.
 */

import { once } from "node:events";

import type { WorkerId } from "#shared/domain/ids.ts";
import { SECOND } from "#shared/domain/units.ts";
import { openEmbedded } from "#shared/embedded/open.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { acceptMail, takeRequest } from "./backend.ts";
import { address, attempt } from "./builders.ts";

export type WorkerReport =
  { did: "accepted" } | { did: "settled"; rows: number } | { did: "finished"; rows: number };

const [dataDir = "", name = "", count = "0"] = process.argv.slice(2);
const worker = name as WorkerId;
const backend = await openEmbedded({ dataDir, clock: systemClock });

function report(said: WorkerReport): void {
  process.send?.(said);
}

async function acceptSome(): Promise<void> {
  for (let i = 0; i < Number(count); i += 50) {
    const accepts = Array.from({ length: 50 }, (_, n) =>
      acceptMail(backend, systemClock, {
        fields: { recipient: address(`rcpt@d${(i + n) % 7}.example`) },
        body: `\r\n${"x".repeat(3_000)}`,
      }),
    );
    await Promise.all(accepts);
  }
}

async function settleAll(): Promise<number> {
  let rows = 0;
  for (;;) {
    const request = takeRequest({
      worker,
      max: 20,
      maxPerDomain: 10,
      leaseMs: 60 * SECOND,
      waitMs: SECOND / 2,
    });
    const leases = (await backend.queue.take(request)).flatMap((taken) => [...taken.leases]);
    if (leases.length === 0) return rows;
    const written = await backend.queue.settle(
      leases.map((lease) => ({ lease, settled: { state: "delivered" }, attempt: attempt() })),
    );
    const settled = written.filter((was) => was).length;
    rows += settled;
    report({ did: "settled", rows: settled });
  }
}

await acceptSome();
report({ did: "accepted" });
await once(process, "message");
const rows = await settleAll();
report({ did: "finished", rows });
await backend.close();
process.disconnect();
