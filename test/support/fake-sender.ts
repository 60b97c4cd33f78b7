/** `sender/main.ts` with fake workers: same start, same signals, same supervisor. */

import { join } from "node:path";

import { runSender } from "../../sender/run-sender.ts";

await runSender(join(import.meta.dirname, "fake-worker.ts"));
