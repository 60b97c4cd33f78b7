/**
 * The PROXY protocol, versions 1 and 2: how a load balancer tells whose connection it passes on. Pure reading of the first
 * bytes; who may send them is the server's to know. Strict, for the header has no signature: anything odd is `malformed`.
 */

import { parseIp } from "#shared/domain/ip.ts";
import { KIB } from "#shared/domain/units.ts";

/**
 * - `partial` more bytes are needed · `malformed` this is no PROXY header
 * - `header` it takes `length` bytes; `client` null: the connection is the balancer's own, such as a health check
 */
export type ProxyHeader =
  | { kind: "partial" }
  | { kind: "malformed"; reason: string }
  | { kind: "header"; length: number; client: ProxiedClient | null };

export interface ProxiedClient {
  readonly ip: string;
  readonly port: number;
}

const V1_START = Buffer.from("PROXY ");
/** With its CRLF. */
const V1_MAX_LENGTH = 107;
const V2_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V2_FIXED_LENGTH = 16;
/** Addresses take 216 bytes at most; the rest is TLVs, of which balancers send few. */
const V2_MAX_LENGTH = 4 * KIB;

const PORT = /^(?:0|[1-9]\d{0,4})$/;
const PARTIAL: ProxyHeader = { kind: "partial" };

/** `bytes` is all that has come so far. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAs(bytes, V2_SIGNATURE)) return readV2(bytes);
  if (startsAs(bytes, V1_START)) return readV1(bytes);
  return malformed("neither version 1 nor 2");
}

/** True as long as `bytes` may still become something that begins with `start`. */
function startsAs(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function readV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_MAX_LENGTH).indexOf("\r\n");
  if (end === -1) return bytes.length < V1_MAX_LENGTH ? PARTIAL : malformed("version 1 line is too long");
  const [, family, ...fields] = bytes.toString("latin1", 0, end).split(" ");
  const length = end + 2;
  if (family === "UNKNOWN") return { kind: "header", length, client: null };
  const client = clientOfV1(family, fields);
  return client ? { kind: "header", length, client } : malformed("version 1 line cannot be read");
}

function clientOfV1(family: string | undefined, fields: readonly string[]): ProxiedClient | null {
  const [source = "", destination = "", sourcePort = "", destinationPort = ""] = fields;
  const isV6 = family === "TCP6";
  const ip = parseIp(source);
  if (fields.length !== 4 || (family !== "TCP4" && !isV6)) return null;
  if (ip === null || parseIp(destination) === null) return null;
  if (source.includes(":") !== isV6 || destination.includes(":") !== isV6) return null;
  const port = parsePort(sourcePort);
  return port === null || parsePort(destinationPort) === null ? null : { ip, port };
}

function parsePort(text: string): number | null {
  return PORT.test(text) && Number(text) <= 65_535 ? Number(text) : null;
}

function readV2(bytes: Buffer): ProxyHeader {
  if (bytes.length < V2_FIXED_LENGTH) return PARTIAL;
  const version = bytes.readUInt8(12) >> 4;
  const command = bytes.readUInt8(12) & 15;
  const length = V2_FIXED_LENGTH + bytes.readUInt16BE(14);
  if (version !== 2 || command > 1) return malformed("version or command of version 2 is unknown");
  if (length > V2_MAX_LENGTH) return malformed("version 2 header is too long");
  if (bytes.length < length) return PARTIAL;
  if (command === 0) return { kind: "header", length, client: null };
  return clientOfV2(bytes.readUInt8(13), bytes.subarray(V2_FIXED_LENGTH, length), length);
}

/** Source address, destination address, source port, destination port. */
function clientOfV2(family: number, addresses: Buffer, length: number): ProxyHeader {
  switch (family) {
    case 0x11: // TCP over IPv4
      if (addresses.length < 12) return malformed("version 2 addresses are cut short");
      return {
        kind: "header",
        length,
        client: { ip: addresses.subarray(0, 4).join("."), port: addresses.readUInt16BE(8) },
      };
    case 0x21: // TCP over IPv6
      if (addresses.length < 36) return malformed("version 2 addresses are cut short");
      return {
        kind: "header",
        length,
        client: { ip: ipv6Text(addresses.subarray(0, 16)), port: addresses.readUInt16BE(32) },
      };
    case 0x00: // unspecified
    case 0x31: // a UNIX socket
      return { kind: "header", length, client: null };
    default:
      return malformed("version 2 address family is not a stream");
  }
}

function ipv6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(":");
  return parseIp(groups) ?? groups;
}

function malformed(reason: string): ProxyHeader {
  return { kind: "malformed", reason };
}
