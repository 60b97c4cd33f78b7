/**
 * What a configuration in TypeScript exports, with all that it imports read anew. Node keeps a module for good under its URL, so it
 * is evaluated in a thread of its own, which has no modules yet and leaves none behind.
 */

import { once } from "node:events";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";

import { SECOND } from "../domain/units.ts";

/** A configuration that waits for something for so long waits for ever. */
const TIMEOUT_MS = 20 * SECOND;

/** What the thread runs. A function cannot be passed on, and is an error that says so. */
const READER = `
const { parentPort, workerData } = require("node:worker_threads");
import(workerData)
  .then(({ ...exported }) => parentPort.postMessage({ exported }))
  .catch(({ name = "Error", message = "" }) => parentPort.postMessage({ failure: { name, message } }));
`;

type Exports = Readonly<Record<string, unknown>>;
type Answer = { readonly exported: Exports } | { readonly failure: { name: string; message: string } };

/** Rejects with what the module throws. */
export async function importFresh(file: string): Promise<Exports> {
  const thread = new Worker(READER, { eval: true, workerData: pathToFileURL(file).href });
  try {
    const answer = once(thread, "message", { signal: AbortSignal.timeout(TIMEOUT_MS) }); // rejects with `error`
    const silent = once(thread, "exit").then(() => Promise.reject(new Error("it ended the process")));
    const [said] = (await Promise.race([answer, silent])) as [Answer];
    if ("exported" in said) return said.exported;
    throw Object.assign(new Error(said.failure.message), { name: said.failure.name });
  } catch (error) {
    if (error instanceof Error && error.name === "AbortError")
      throw new Error(`it did not come to its end in ${TIMEOUT_MS / SECOND} s`, { cause: error });
    throw error;
  } finally {
    await thread.terminate();
  }
}
