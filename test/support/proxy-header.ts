/** Builds PROXY headers of version 2, good ones and such as no balancer sends. */

import { isIPv4 } from "node:net";

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

/** `command` 1: on behalf of a client; 0: LOCAL. `extra` are TLVs behind the addresses. */
export function proxyV2({
  ip,
  port,
  command = 1,
  extra = Buffer.alloc(0),
}: {
  ip: string;
  port: number;
  command?: number;
  extra?: Buffer;
}): Buffer {
  const source = bytesOf(ip);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(port, 0);
  ports.writeUInt16BE(25, 2);
  const payload = Buffer.concat([source, Buffer.alloc(source.length), ports, extra]);
  const fixed = Buffer.from([0x20 | command, source.length === 4 ? 0x11 : 0x21, 0, 0]);
  fixed.writeUInt16BE(payload.length, 2);
  return Buffer.concat([SIGNATURE, fixed, payload]);
}

function bytesOf(ip: string): Buffer {
  if (isIPv4(ip)) return Buffer.from(ip.split(".").map(Number));
  const groups = new URL(`http://[${ip}]/`).hostname.slice(1, -1).split("::");
  const [head = [], tail = []] = groups.map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => "0");
  const bytes = Buffer.alloc(16);
  for (const [i, group] of [...head, ...zeros, ...tail].entries()) {
    bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i);
  }
  return bytes;
}
