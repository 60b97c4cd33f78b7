/**
 * Seals secrets that must be read again, such as DKIM keys and passwords of relays, before they go into a store: AES-256-GCM under
 * one key that only senders and those who store such secrets are given. Who can read the store alone has nothing without it.
 *
 * A sealed text is bound to its place: moved to another name it does not open.
 */

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

import type { Sealing } from "../ports/sealing.ts";

export interface Sealer {
  /** `place` says what the text is kept as. */
  seal(text: string, place: string): string;
  /** Throws when the text was not sealed with this key for this place. */
  open(sealed: string, place: string): string;
}

const CIPHER = "aes-256-gcm";
export const SEAL_KEY_BYTES = 32;
/** The length that the cipher is made for, and safe at random for 2^32 texts under one key. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** In front of the base64 text, so that another way of sealing can be told from this one. */
const VERSION = "v1.";

export function aesSealer(key: Buffer): Sealer {
  if (key.length !== SEAL_KEY_BYTES) throw new RangeError(`a key to seal with has ${SEAL_KEY_BYTES} bytes`);
  return {
    seal(text, place) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(place));
      const sealed = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
      return VERSION + sealed.toString("base64");
    },
    open(sealed, place) {
      const bytes = Buffer.from(sealed.slice(VERSION.length), "base64");
      if (!sealed.startsWith(VERSION) || bytes.length < NONCE_BYTES + TAG_BYTES)
        throw new Error(`what is kept as ${place} is not sealed as it should be`);
      const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(Buffer.from(place));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
      return Buffer.concat([text, decipher.final()]).toString("utf8");
    },
  };
}

/** The port on a sealer that is there, or is fetched at first use; null: this installation has none. */
export function sealingBy(sealer: () => Promise<Sealer | null>): Sealing {
  const present = async (): Promise<Sealer> => {
    const there = await sealer();
    if (!there) throw new Error("there is no key to seal secrets with; see Secrets in docs/architecture.md");
    return there;
  };
  return {
    seal: async (text, place) => (await present()).seal(text, place),
    open: async (sealed, place) => (await present()).open(sealed, place),
  };
}
