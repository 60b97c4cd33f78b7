/** Waiting for a stream that has taken all it can for now. */

import type { Writable } from "node:stream";

/** Resolves when the stream takes more, or is closed and takes nothing. */
export function roomIn(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}
