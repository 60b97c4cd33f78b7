/** A DNS in the memory of the test: zones as data, every question counted, any answer made to fail or to wait. */

import type { Dns, DnsAnswer, MxRecord } from "#shared/ports/dns.ts";

/** What one name has. A name that is missing does not exist; a type that is missing gives `nodata`. */
export interface FakeName {
  /** `[preference, exchange]`; an exchange of "" is the root. */
  mx?: readonly (readonly [number, string])[] | "failed" | "nxdomain";
  a?: readonly string[] | "failed" | "nxdomain";
  aaaa?: readonly string[] | "failed" | "nxdomain";
  txt?: readonly string[] | "failed" | "nxdomain";
  ptr?: readonly string[] | "failed" | "nxdomain";
  ttlSeconds?: number;
}

export interface FakeDns extends Dns {
  /** Names in lower case (IP addresses for `ptr`); change them to change the world. */
  readonly names: Record<string, FakeName>;
  /** Questions so far, such as `mx example.org`. */
  readonly asked: string[];
  /** Called with each question before its answer is given; what it waits for, the answer waits for. */
  gate: (question: string) => Promise<void> | void;
}

type RecordType = "mx" | "a" | "aaaa" | "txt" | "ptr";

const TTL_SECONDS = 300;
const NEGATIVE_TTL_SECONDS = 60;

/** Names of their own for each test: mail for `one.example` goes to this machine. */
export const oneExample = (): Record<string, FakeName> => ({
  "one.example": { mx: [[10, "mx.one.example"]] },
  "mx.one.example": { a: ["127.0.0.1"] },
});

export function fakeDns(names: Record<string, FakeName> = {}): FakeDns {
  const asked: string[] = [];
  async function answer<T>(type: RecordType, name: string, read: (found: FakeName) => T[]) {
    const question = `${type} ${name}`;
    asked.push(question);
    await fake.gate(question);
    return answerOf(names[name], type, read);
  }
  const fake: FakeDns = {
    names,
    asked,
    gate: () => undefined,
    mx: (domain) =>
      answer("mx", domain, ({ mx }): MxRecord[] =>
        Array.isArray(mx) ? mx.map(([preference, exchange]) => ({ preference, exchange })) : [],
      ),
    addresses: (host, family) =>
      answer(family === 4 ? "a" : "aaaa", host, (found) => listOf(family === 4 ? found.a : found.aaaa)),
    txt: (name) => answer("txt", name, ({ txt }) => listOf(txt)),
    reverse: (ip) => answer("ptr", ip, ({ ptr }) => listOf(ptr)),
  };
  return fake;
}

function answerOf<T>(
  found: FakeName | undefined,
  type: RecordType,
  read: (found: FakeName) => T[],
): DnsAnswer<T> {
  if (found === undefined || found[type] === "nxdomain") {
    return { kind: "nxdomain", ttlSeconds: found?.ttlSeconds ?? NEGATIVE_TTL_SECONDS };
  }
  if (found[type] === "failed") return { kind: "failed", detail: "SERVFAIL from the fake DNS" };
  const records = read(found);
  if (records.length === 0) {
    return { kind: "nodata", ttlSeconds: found.ttlSeconds ?? NEGATIVE_TTL_SECONDS };
  }
  return { kind: "found", records, ttlSeconds: found.ttlSeconds ?? TTL_SECONDS };
}

function listOf(list: readonly string[] | "failed" | "nxdomain" | undefined): string[] {
  return Array.isArray(list) ? [...list] : [];
}
