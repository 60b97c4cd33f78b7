/** Questions to the DNS. Answers carry their lifetime; caching is the caller's (shared/runtime/dns/cache.ts). */

export interface MxRecord {
  readonly preference: number;
  /** Lower case, no trailing dot; empty for the root (null MX, RFC 7505). */
  readonly exchange: string;
}

/**
 * - `found` with at least one record · `nodata` the name exists and has none of this type · `nxdomain` no such name
 * - `failed` SERVFAIL, refusal, nonsense or silence: ask again later
 */
export type DnsAnswer<T> =
  | { kind: "found"; records: readonly T[]; ttlSeconds: number }
  | { kind: "nodata"; ttlSeconds: number }
  | { kind: "nxdomain"; ttlSeconds: number }
  | { kind: "failed"; detail: string };

export interface Dns {
  mx(domain: string): Promise<DnsAnswer<MxRecord>>;
  /** IP addresses of the family, CNAMEs followed. */
  addresses(host: string, family: 4 | 6): Promise<DnsAnswer<string>>;
  /** Text records of a name, each with its strings joined. */
  txt(name: string): Promise<DnsAnswer<string>>;
  /** Name of an IP address. */
  reverse(ip: string): Promise<DnsAnswer<string>>;
}
