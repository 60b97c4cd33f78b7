/**
 * A process that takes and gives back slots as fast as it can, for `limit-store.test.ts`. It marks each slot it has by a file, made
 * after the slot was granted and gone before it is released: so more files than slots there are can only mean a broken limit.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { readdir, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { WorkerId } from "#shared/domain/ids.ts";
import { HOUR, later } from "#shared/domain/units.ts";
import { openDatabase } from "#shared/embedded/database.ts";
import { embeddedLimitStore } from "#shared/embedded/limit-store.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";

export interface RaceResult {
  readonly slots: number;
  readonly permits: number;
  /** Files seen at once. */
  readonly mostHeld: number;
}

const ROUNDS = 60;
const KEY = "mx.example";

const [folder = "", name = "", limit = "1"] = process.argv.slice(2);
const database = openDatabase(folder);
const limits = embeddedLimitStore({ database, clock: systemClock });
const holder = name as WorkerId;
const held = join(folder, "held");
let slots = 0;
let permits = 0;
let mostHeld = 0;

async function holdSome(round: number): Promise<void> {
  const until = later(systemClock.now(), HOUR);
  const count = await limits.acquireSlots(KEY, {
    holder,
    want: 1 + (round % 3),
    limit: Number(limit),
    until,
  });
  const files = Array.from({ length: count }, (_, i) => join(held, `${name}-${round}-${i}`));
  for (const file of files) await writeFile(file, "");
  mostHeld = Math.max(mostHeld, (await readdir(held)).length);
  for (const file of files) await unlink(file);
  if (count > 0) await limits.releaseSlots(KEY, { holder, count });
  else await sleep(1); // refused: the other one has them
  slots += count;
}

for (let round = 0; round < ROUNDS; round++) {
  await holdSome(round);
  const rate = { count: 1, perMs: HOUR };
  permits += (await limits.takeBudget(KEY, { want: 1, rate })).permits.length;
}
await database.close();
process.send?.({ slots, permits, mostHeld } satisfies RaceResult, () => process.disconnect());
