/** `npm start`: the relay on this machine. */

import { join } from "node:path";

import { runSender } from "./run-sender.ts";

await runSender(join(import.meta.dirname, "worker-main.ts"));
