/** Reads msgpack, as its specification has it (github.com/msgpack/msgpack: spec.md): what entries of a remote log are made of. */

import assert from "node:assert/strict";

/** The one value that `bytes` are. */
export function readMsgpack(bytes: Buffer): unknown {
  const reader = { bytes, at: 0 };
  const value = readValue(reader);
  assert.equal(reader.at, bytes.length, "nothing comes after the value");
  return value;
}

interface Reader {
  readonly bytes: Buffer;
  at: number;
}

function take(reader: Reader, count: number): Buffer {
  const taken = reader.bytes.subarray(reader.at, reader.at + count);
  assert.equal(taken.length, count, "the value is whole");
  reader.at += count;
  return taken;
}

function readValue(reader: Reader): unknown {
  const first = take(reader, 1).readUInt8();
  if (first < 0x80) return first;
  if (first < 0x90) return readMap(reader, first & 0x0f);
  if (first < 0xa0) return readArray(reader, first & 0x0f);
  if (first < 0xc0) return take(reader, first & 0x1f).toString("utf8");
  if (first >= 0xe0) return first - 0x100;
  switch (first) {
    case 0xc0:
      return null;
    case 0xca:
      return take(reader, 4).readFloatBE();
    case 0xcb:
      return take(reader, 8).readDoubleBE();
    case 0xcc:
      return take(reader, 1).readUInt8();
    case 0xcd:
      return take(reader, 2).readUInt16BE();
    case 0xce:
      return take(reader, 4).readUInt32BE();
    case 0xcf:
      return Number(take(reader, 8).readBigUInt64BE());
    case 0xd9:
      return take(reader, take(reader, 1).readUInt8()).toString("utf8");
    case 0xda:
      return take(reader, take(reader, 2).readUInt16BE()).toString("utf8");
    case 0xdc:
      return readArray(reader, take(reader, 2).readUInt16BE());
    case 0xde:
      return readMap(reader, take(reader, 2).readUInt16BE());
    default:
      return assert.fail(`0x${first.toString(16)} begins no value of a log entry`);
  }
}

function readArray(reader: Reader, size: number): unknown[] {
  return Array.from({ length: size }, () => readValue(reader));
}

function readMap(reader: Reader, size: number): Record<string, unknown> {
  const entries = Array.from({ length: size }, () => [String(readValue(reader)), readValue(reader)] as const);
  return Object.fromEntries(entries);
}
