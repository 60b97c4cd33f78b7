/** `npm start`: the relay on this machine. */

import { extname, join } from "node:path";

import { runSender } from "./run-sender.ts";

const { dirname, filename } = import.meta;
// Of its own kind: a source, or beside it in a bundle.
await runSender(join(dirname, `worker-main${extname(filename)}`));
