/**
 * The log: JSON lines on stdout by pino. `msg` is a fixed phrase, what varies is a field (the names are in docs/architecture.md);
 * no body, credential or key ever, which redaction makes sure of for the names they go by.
 */

import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";

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

/** `destination` is stdout unless a test gives another. */
export function createLog(
  { level, fields }: { level: string; fields?: Readonly<Record<string, unknown>> },
  destination?: DestinationStream,
): Logger {
  const options = {
    level,
    base: { pid: process.pid, ...fields },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap(pathsOf), censor: "[redacted]" },
  };
  return destination ? pino(options, destination) : pino(options);
}

function pathsOf(field: string): string[] {
  return Array.from({ length: DEPTH }, (_, depth) => "*.".repeat(depth) + field);
}
