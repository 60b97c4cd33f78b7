/**
 * Hosts that offer PIPELINING (RFC 2920) and lose commands that come together, as some firewalls do on their way: for a while each
 * command to them waits for the reply to the one before. It is what one process remembers; forgetting costs a mail one attempt.
 */

import { LRUCache } from "lru-cache";

import { DAY } from "#shared/domain/units.ts";

export interface PipeliningMemory {
  /** `host` is `ip:port`. */
  isBroken(host: string): boolean;
  noteBroken(host: string): void;
}

const MAX_HOSTS = 10_000;
/** Longer than any wait of the usual ladder, so that it is known at the next attempt. */
const KEPT_MS = DAY;

export function pipeliningMemory(): PipeliningMemory {
  const broken = new LRUCache<string, true>({ max: MAX_HOSTS, ttl: KEPT_MS });
  return {
    isBroken: (host) => broken.has(host),
    noteBroken: (host) => void broken.set(host, true),
  };
}
