/**
 * `core/loop-breaker`: each mail that leaves carries a mark which only we can make, and which names its recipient. One that comes back
 * with the mark and is to leave to the same recipient goes round in a loop: it is sent to nobody, and nobody gets a report on it. Mail
 * that was forwarded on purpose has marks for other recipients, and marks of other relays are not ours.
 *
 * The mark is on what is sent and not on what is stored, so that a mail which is tried again does not meet its own.
 */

import { createHmac, randomBytes } from "node:crypto";

import type { PluginApp } from "../plugins/app.ts";

export const title = "Loop breaker";

/** As the schema in runtime/config-core-plugins.ts has checked it. */
export interface LoopBreakerOptions {
  readonly secret: string;
  readonly algo: string;
  /** Name of the header. */
  readonly header: string;
}

/** Marks that are looked at; the hops of a mail are counted elsewhere. */
const MAX_MARKS = 100;
/** As many hex digits. */
const SALT_CHARS = 12;

export async function init(app: PluginApp): Promise<void> {
  const { secret, algo, header } = app.config as unknown as LoopBreakerOptions;
  const markOf = (salt: string, recipient: string): string =>
    salt + createHmac(algo, secret).update(salt).update(recipient).digest("hex");

  // where the headers are read in any case: `sender:fetch` would cost a read of each body more
  app.addHook("sender:headers", async (delivery) => {
    const { headers } = delivery;
    if (!headers) return;
    const { to } = delivery.envelope;
    const marks = headers.getDecoded(header).slice(0, MAX_MARKS);
    const isOwn = (mark: string): boolean => mark === markOf(mark.slice(0, SALT_CHARS), to);
    if (marks.some(({ value }) => isOwn(value.trim().toLowerCase())))
      throw app.drop(delivery, `588 Detected routing loop for ${to}`);
    headers.add(header, markOf(randomBytes(SALT_CHARS / 2).toString("hex"), to));
  });
}
