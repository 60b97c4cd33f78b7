/**
 * `log.gelf`: lines of the log to a Graylog server, in GELF 1.1 by UDP (docs.graylog.org: GELF). They are those that are written to
 * standard output, from a level on, with their secrets taken out already. `short_message` is ZoneMTA's `MTA [CODE] text`: the code is
 * ZoneMTA's where it has one for the same trouble, else the event's word, else made from the part of the program and what it says.
 */

import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";

import type { DestinationStream } from "pino";

import type { GelfConfig } from "#shared/domain/config.ts";
import type { Datagrams } from "./datagrams.ts";

/** A line as pino writes it. */
type Line = Readonly<Record<string, unknown>>;

/** Of syslog, as GELF has them. */
const SEVERITY: Readonly<Record<string, number>> = {
  fatal: 2,
  error: 3,
  warn: 4,
  info: 6,
  debug: 7,
  trace: 7,
};

/** ZoneMTA's codes, by what our line says: its phrase, or where the phrase is `failed`, the part of the program. */
const CODES: Readonly<Record<string, string>> = {
  "message could not be stored": "QUEUE_STORE_FAILED",
  "worker died": "SENDER_EXITED",
  "worker does not answer": "SENDER_EXITED",
  "settled too late: the row was leased again, its recipient may get two": "DELIVERY_RELEASE_FAILED",
  "record set aside: it cannot be read": "QUEUE_META_FETCH_FAILED",
  "bounce report": "BOUNCE_SEND_FAILED",
  delivery: "QUEUE_ERROR",
  zone: "QUEUE_REQUEST_FAILED",
  sweep: "QUEUE_GC_FAILED",
};

/** GELF's limit; a message of more is not sent. */
const MAX_CHUNKS = 128;
const CHUNK_HEADER_BYTES = 12;

export function gelfStream(config: GelfConfig, datagrams: Datagrams): DestinationStream {
  return {
    write(text) {
      const message = gelfMessage(JSON.parse(text) as Line, config);
      for (const chunk of chunksOf(gzipSync(JSON.stringify(message)), config.chunkBytes))
        datagrams.send(chunk);
    },
  };
}

export function gelfMessage(line: Line, { component, hostname }: Pick<GelfConfig, "component" | "hostname">) {
  const { level, time, msg, err, ...fields } = line;
  const stack = typeof err === "object" && err !== null && "stack" in err ? String(err.stack) : null;
  const short = `${component} [${codeOf(line)}] ${String(msg)}`;
  return {
    version: "1.1",
    host: hostname,
    short_message: short,
    ...(stack !== null && { full_message: `${short}\n${stack}` }),
    timestamp: Date.parse(String(time)) / 1_000,
    level: SEVERITY[String(level)] ?? 6,
    ...additional({ ...fields, err }),
  };
}

function codeOf({ msg, component, event }: Line): string {
  if (typeof event === "string") return CODES[String(msg)] ?? event;
  const part = typeof component === "string" ? component : "";
  const known = CODES[msg === "failed" ? part : String(msg)];
  return (
    known ??
    `${part} ${String(msg)}`
      .trim()
      .toUpperCase()
      .replaceAll(/[^A-Z0-9]+/g, "_")
  );
}

/** GELF: names begin with `_` and are not `_id`, values are texts and numbers. */
function additional(fields: Line): Record<string, string | number> {
  const entries = Object.entries(fields).flatMap(([name, value]) => {
    if (value === null || value === undefined) return [];
    const plain = typeof value === "string" || typeof value === "number" ? value : JSON.stringify(value);
    return [[name === "id" ? "_mail_id" : `_${name.replaceAll(/[^\w.-]/g, "_")}`, plain] as const];
  });
  return Object.fromEntries(entries);
}

/** As it is when it fits into one datagram; else in chunks, each with the id of the message, its number and their count. */
export function chunksOf(message: Buffer, maxBytes: number, id: Buffer = randomBytes(8)): Buffer[] {
  if (message.length <= maxBytes) return [message];
  const room = maxBytes - CHUNK_HEADER_BYTES;
  const count = Math.ceil(message.length / room);
  if (count > MAX_CHUNKS) return [];
  return Array.from({ length: count }, (_, i) =>
    Buffer.concat([
      Buffer.from([0x1e, 0x0f]),
      id,
      Buffer.from([i, count]),
      message.subarray(i * room, (i + 1) * room),
    ]),
  );
}
