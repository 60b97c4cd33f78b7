/**
 * Passwords as they are stored: scrypt (RFC 7914) in the PHC string format, `$scrypt$ln=14,r=8,p=5$<salt>$<hash>`. The cost is
 * part of the string, so it can be raised for new passwords while old ones still verify.
 *
 * The work runs on libuv's threads, which files and the embedded store use too: callers bound how many run at once.
 */

import { scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

import type { Branded } from "./branded.ts";

/** A password's hash as text, safe to store. */
export type PasswordHash = Branded<string, "PasswordHash">;

interface Cost {
  /** log2 of the CPU and memory cost. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

/** 16 MiB and about 0.2 s of one core: one of OWASP's equivalent settings, with the least memory of those that use p=5. */
const COST: Cost = { ln: 14, r: 8, p: 5 };
/** What a stored hash may ask of us at most: 128 MiB. */
const MAX_MEMORY_BYTES = 128 * 1_024 * 1_024;
const MAX_P = 16;

const SALT_BYTES = 16;
const HASH_BYTES = 32;
const STORED = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;

const scryptAsync = promisify(
  (password: string, salt: Buffer, { ln, r, p }: Cost, done: (error: Error | null, hash: Buffer) => void) => {
    scrypt(password, salt, HASH_BYTES, { N: 2 ** ln, r, p, maxmem: MAX_MEMORY_BYTES + 1_048_576 }, done);
  },
);

/** `randomBytes` gives the salt. */
export async function hashPassword(
  password: string,
  randomBytes: (count: number) => Buffer,
): Promise<PasswordHash> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await scryptAsync(password.normalize("NFC"), salt, COST);
  return `$scrypt$ln=${COST.ln},r=${COST.r},p=${COST.p}$${base64(salt)}$${base64(hash)}` as PasswordHash;
}

/** Null: not a hash that `hashPassword` makes or has made. */
export function parsePasswordHash(text: string): PasswordHash | null {
  return costOf(text) === null ? null : (text as PasswordHash);
}

/** Takes as long for a wrong password as for the right one. */
export async function verifyPassword(stored: PasswordHash, password: string): Promise<boolean> {
  const cost = costOf(stored);
  if (cost === null) throw new Error("a password hash cannot be read"); // its type says that it was parsed
  const [, , , salt = "", hash = ""] = stored.split("$");
  const computed = await scryptAsync(password.normalize("NFC"), Buffer.from(salt, "base64"), cost);
  return timingSafeEqual(computed, Buffer.from(hash, "base64"));
}

/** A hash that no password has, at the usual cost: to verify against it is the work of a real check. */
export const NO_PASSWORD =
  `$scrypt$ln=${COST.ln},r=${COST.r},p=${COST.p}$${"A".repeat(22)}$${"A".repeat(43)}` as PasswordHash;

function costOf(text: string): Cost | null {
  const match = STORED.exec(text);
  if (!match) return null;
  const cost = { ln: Number(match[1]), r: Number(match[2]), p: Number(match[3]) };
  const memory = 128 * 2 ** cost.ln * cost.r;
  return cost.ln >= 1 && cost.r >= 1 && cost.p >= 1 && cost.p <= MAX_P && memory <= MAX_MEMORY_BYTES
    ? cost
    : null;
}

/** Without padding, as the PHC format has it. */
function base64(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
