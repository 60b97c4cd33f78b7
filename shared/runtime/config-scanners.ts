/** Options of the core plugins that show mail to a scanner: `core/clamav` and `core/rspamd`. */

import * as z from "zod";

import { MIB, SECOND } from "../domain/units.ts";
import { bytes, host, httpUrl, ip, line, port, timeout } from "./config-fields.ts";
import { moduleFields } from "./config-module-fields.ts";

const DEFAULT_TIMEOUT_MS = 20 * SECOND;
/** More than the scanner has, or the hook would end before the scanner's silence can be dealt with. */
const HOOK_EXTRA_MS = 5 * SECOND;

const scannerFields = {
  ...moduleFields,
  /** Interfaces whose mail is scanned; `*`: all, with the one for HTTP, `api`. */
  interfaces: z.array(z.string()).default(["feeder"]),
  /** Clients whose mail is not. */
  ignoreOrigins: z.array(ip).default([]),
  /** Mail that could not be scanned: `accept` takes it unseen, `defer` answers 451. */
  onFailure: z.enum(["accept", "defer"]).default("accept"),
  /** Longest wait for the scanner, each time. */
  timeout: timeout.default(DEFAULT_TIMEOUT_MS),
};

function withHookTime<T extends { timeout: number; hookTimeout?: number | undefined }>(options: T): T {
  const enough = options.timeout + HOOK_EXTRA_MS;
  return { ...options, hookTimeout: Math.max(options.hookTimeout ?? 0, enough) };
}

export const ClamavSchema = z
  .strictObject({
    ...scannerFields,
    host: host.default("127.0.0.1"),
    port: port.default(3_310),
    /** Path of a Unix socket, in place of host and port. */
    socket: z.string().min(1).max(100).optional(),
    /** Larger mail is not scanned: taken unseen, or refused where `onFailure` is `defer`. At most clamd's StreamMaxLength. */
    maxSize: bytes.default(25 * MIB),
  })
  .transform(withHookTime);

export type ClamavOptions = z.output<typeof ClamavSchema>;

export const RspamdSchema = z
  .strictObject({
    ...scannerFields,
    url: httpUrl.default("http://127.0.0.1:11333/checkv2"),
    /** Of a worker that asks for one. */
    password: line.optional(),
    /** Larger mail is taken unseen. */
    maxSize: bytes.default(5 * MIB),
    /** Address that Rspamd is told the mail comes from: the client's, none, or this one. */
    ip: z.union([z.boolean(), ip]).default(true),
    /** False: what Rspamd rejects is taken. */
    rejectSpam: z.boolean().default(true),
    /** In place of a refusal: 250, and nobody gets it. */
    dropSpam: z.boolean().default(false),
    rewriteSubject: z.boolean().default(false),
    /** Headers that Rspamd's modules want added or taken out are. */
    processSpamHeaders: z.boolean().default(false),
    /** What Rspamd would greylist is put off. */
    greylist: z.boolean().default(false),
  })
  .transform(withHookTime);

export type RspamdOptions = z.output<typeof RspamdSchema>;
