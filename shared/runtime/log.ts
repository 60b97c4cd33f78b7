/**
 * The log: JSON lines on stdout by pino. `msg` is a fixed phrase, what varies is a field (the names are in docs/architecture.md);
 * no body, credential or key ever, which redaction makes sure of for the names they go by.
 */

import { pino } from "pino";
import type { DestinationStream, Level, Logger } from "pino";

export type { Logger } from "pino";

/** Fields whose value is never written, on the first three levels of a line. */
const SECRET_FIELDS = [
  "pass",
  "password",
  "secret",
  "token",
  "authorization",
  "apiKey",
  "privateKey",
  "key",
  "credentials",
];
const DEPTH = 3;

export interface LogOptions {
  readonly level: string;
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Gets the lines from its level on, too. */
  readonly also?: { readonly stream: DestinationStream; readonly level: Level } | null;
}

/** `destination` is stdout unless a test gives another. */
export function createLog({ level, fields, also }: LogOptions, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { pid: process.pid, ...fields },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap(pathsOf), censor: "[redacted]" },
  };
  if (also) {
    const first = { stream: destination ?? pino.destination(1), level: "trace" as const }; // `options.level` is before both
    return pino(options, pino.multistream([first, also]));
  }
  return destination ? pino(options, destination) : pino(options);
}

function pathsOf(field: string): string[] {
  return Array.from({ length: DEPTH }, (_, depth) => "*.".repeat(depth) + field);
}
