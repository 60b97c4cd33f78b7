/** Accepts one message with the body it is given and then says so on stdout: what a front door does before its 250. */

import { writeSync } from "node:fs";

import { openEmbedded } from "#shared/embedded/open.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { acceptMail } from "./backend.ts";

/** The same text again and again, so that it is found in every part of a large body. */
const [dataDir = "", text = "", times = "1"] = process.argv.slice(2);
const backend = await openEmbedded({ dataDir, clock: systemClock });
writeSync(1, "BEGIN\n");
await acceptMail(backend, systemClock, { body: `\r\n${text.repeat(Number(times))}` });
writeSync(1, "ACCEPTED\n");
await backend.close();
