/** Options of the core plugins that end loops of mail, with the keys and units of ZoneMTA's plugins of these names. */

import * as z from "zod";

import { HEADER_NAME, count } from "./config-fields.ts";
import { moduleFields } from "./config-module-fields.ts";

const MAX_WINDOW_SECONDS = 30 * 86_400;

/** Mail that comes back and is to leave to the same recipient once more is dropped. */
export const LoopBreakerSchema = z
  .strictObject({
    ...moduleFields,
    /** Makes our marks; the same on all hosts that send for one another. */
    secret: z.string().min(1).max(500).optional(),
    algo: z.enum(["md5", "sha1", "sha256", "sha384", "sha512"]).default("sha256"),
    header: z.string().regex(HEADER_NAME, "is no header name").default("X-Zone-Loop"),
  })
  .superRefine(({ enabled, secret }, context) => {
    if (enabled.length === 0 || secret !== undefined) return;
    const message = "is missing: any text that nobody can guess";
    context.addIssue({ code: "custom", path: ["secret"], message, input: secret });
  });

/** Mails of one sender to one recipient, over all processes; what is more is dropped. */
export const LimiterSchema = z.strictObject({
  ...moduleFields,
  limit: count.default(250),
  /** Seconds. */
  windowSize: z.int().min(1).max(MAX_WINDOW_SECONDS).default(1_800),
  /** True: what is over the limit is logged and sent. */
  debug: z.boolean().default(false),
});
