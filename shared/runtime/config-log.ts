/** The section `log` of the configuration: ZoneMTA's keys for how much is logged, and where it is sent besides standard output. */

import * as z from "zod";

import type { LogConfig } from "../domain/config.ts";
import { host, line, port } from "./config-fields.ts";

/** ZoneMTA's levels go by the names of npmlog. */
const LEVELS = {
  silly: "trace",
  verbose: "debug",
  trace: "trace",
  debug: "debug",
  info: "info",
  warn: "warn",
  error: "error",
} as const;
const level = z.enum(["silly", "verbose", "trace", "debug", "info", "warn", "error"]);

/** Datagrams to one address, in bytes: what a local network carries in one piece with jumbo frames or fragments, and what any carries. */
const CHUNK_BYTES = { lan: 8_154, wan: 1_420 } as const;

const off = z.literal(false);

const remote = z.strictObject({
  protocol: z.enum(["udp4", "udp6"]).default("udp4"),
  host: host.default("127.0.0.1"),
  port: port.default(31_239),
});

const gelf = z.strictObject({
  enabled: z.boolean().default(false),
  /** Begins each message, in capitals: `MTA [CODE] …`. */
  component: line.default("mta"),
  /** What we are called in them; left out: our host name. */
  hostname: line.optional(),
  /** What is told: troubles, as in ZoneMTA, unless this is `info`. */
  level: level.default("warn"),
  options: z
    .strictObject({
      graylogHostname: host.default("127.0.0.1"),
      graylogPort: port.default(12_201),
      connection: z.enum(["lan", "wan"]).default("lan"),
    })
    .prefault({}),
});

export const LogSchema = z.strictObject({
  /** LOG_LEVEL goes before it. */
  level: level.optional(),
  /** Events of mail as msgpack, one in a datagram. */
  remote: z.union([off, remote]).default(false),
  /** Lines of the log in GELF, to a Graylog server. */
  gelf: z.union([off, gelf]).default(false),
});

export function logOf(settings: z.output<typeof LogSchema>, ourHostname: string): LogConfig {
  return {
    level: settings.level === undefined ? null : LEVELS[settings.level],
    remote: settings.remote === false ? null : settings.remote,
    gelf: gelfOf(settings.gelf, ourHostname),
  };
}

function gelfOf(settings: z.output<typeof LogSchema>["gelf"], ourHostname: string): LogConfig["gelf"] {
  if (settings === false || !settings.enabled) return null;
  const { graylogHostname, graylogPort, connection } = settings.options;
  return {
    host: graylogHostname,
    port: graylogPort,
    chunkBytes: CHUNK_BYTES[connection],
    component: settings.component.toUpperCase(),
    hostname: settings.hostname ?? ourHostname,
    level: LEVELS[settings.level],
  };
}
