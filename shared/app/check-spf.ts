/** May mail of a domain come from an address? SPF as receivers evaluate it (RFC 7208 §4), with their bounds on lookups. */

import { ipFamily } from "../domain/ip.ts";
import { expandMacros, isInNetwork, isSpf, parseSpf } from "../domain/spf.ts";
import type { SpfMechanism, SpfQualifier, SpfRecord } from "../domain/spf.ts";
import type { Dns, DnsAnswer } from "../ports/dns.ts";

export type SpfResult =
  | "pass"
  | "fail"
  | "softfail"
  | "neutral"
  /** There is no record. */
  | "none"
  /** The DNS did not answer. */
  | "temperror"
  /** A record is wrong, or asks for too much. */
  | "permerror";

export interface SpfAnswer {
  readonly result: SpfResult;
  /** The term that decided, or what is wrong. */
  readonly detail: string;
  /** Terms that cost a lookup, up to where it was decided. */
  readonly lookups: number;
}

/** §4.6.4: terms that ask the DNS, in all records together; answers without a record; hosts of one `mx`. */
export const MAX_LOOKUPS = 10;
const MAX_VOID_LOOKUPS = 2;
const MAX_MX_HOSTS = 10;

const RESULT_OF: Readonly<Record<SpfQualifier, SpfResult>> = {
  "+": "pass",
  "-": "fail",
  "~": "softfail",
  "?": "neutral",
};

/** Ends the evaluation from anywhere inside it. */
class SpfEnd extends Error {
  readonly result: "temperror" | "permerror";

  constructor(result: "temperror" | "permerror", detail: string) {
    super(detail);
    this.name = "SpfEnd";
    this.result = result;
  }
}

interface Evaluation {
  readonly dns: Dns;
  readonly ip: string;
  readonly sender: string;
  lookups: number;
  voidLookups: number;
}

/** For mail from postmaster of `domain`. Never rejects. */
export async function checkSpf(dns: Dns, { ip, domain }: { ip: string; domain: string }): Promise<SpfAnswer> {
  const evaluation: Evaluation = { dns, ip, sender: `postmaster@${domain}`, lookups: 0, voidLookups: 0 };
  try {
    const found = await checkHost(domain, evaluation);
    return { ...found, lookups: evaluation.lookups };
  } catch (error) {
    if (!(error instanceof SpfEnd)) throw error;
    return { result: error.result, detail: error.message, lookups: evaluation.lookups };
  }
}

/** Recursion is bounded by the lookups that lead to it. */
async function checkHost(
  domain: string,
  evaluation: Evaluation,
): Promise<{ result: SpfResult; detail: string }> {
  const record = await recordOf(domain, evaluation);
  if (record === null) return { result: "none", detail: `${domain} has no SPF record` };
  for (const { qualifier, mechanism } of record.directives) {
    if (await matches(mechanism, domain, evaluation))
      return { result: RESULT_OF[qualifier], detail: `${qualifier}${mechanism.kind} of ${domain}` };
  }
  if (record.redirect === null) return { result: "neutral", detail: `no term of ${domain} names it` };
  countLookup(evaluation, `redirect=${record.redirect}`);
  const redirected = await checkHost(expanded(record.redirect, domain, evaluation), evaluation);
  if (redirected.result === "none")
    throw new SpfEnd("permerror", `redirect=${record.redirect} of ${domain} leads to no SPF record`);
  return redirected;
}

async function recordOf(domain: string, { dns }: Evaluation): Promise<SpfRecord | null> {
  const answer = await dns.txt(domain);
  if (answer.kind === "failed") throw new SpfEnd("temperror", answer.detail);
  const [text, ...more] = answer.kind === "found" ? answer.records.filter(isSpf) : [];
  if (text === undefined) return null;
  if (more.length > 0)
    throw new SpfEnd("permerror", `${domain} has ${more.length + 1} SPF records, and may have one`);
  const record = parseSpf(text);
  if ("error" in record) throw new SpfEnd("permerror", `the SPF record of ${domain}: ${record.error}`);
  return record;
}

async function matches(mechanism: SpfMechanism, domain: string, evaluation: Evaluation): Promise<boolean> {
  const { ip } = evaluation;
  switch (mechanism.kind) {
    case "all":
      return true;
    case "ip":
      return isInNetwork(ip, mechanism.address, mechanism.prefix);
    case "ptr":
      // Receivers are told not to look (§5.5), and most do not.
      countLookup(evaluation, `ptr of ${domain}`);
      return false;
    case "include":
      return isIncluded(mechanism.domain, domain, evaluation);
    case "exists": {
      countLookup(evaluation, `exists:${mechanism.domain}`);
      const name = expanded(mechanism.domain, domain, evaluation);
      return (await ask(evaluation, evaluation.dns.addresses(name, 4))).length > 0;
    }
    case "a": {
      countLookup(evaluation, `a:${mechanism.domain ?? domain}`);
      const name = mechanism.domain === null ? domain : expanded(mechanism.domain, domain, evaluation);
      return isAmongAddresses(name, mechanism, evaluation);
    }
    case "mx":
      return isAmongMailHosts(mechanism, domain, evaluation);
  }
}

async function isIncluded(spec: string, domain: string, evaluation: Evaluation): Promise<boolean> {
  countLookup(evaluation, `include:${spec}`);
  const { result, detail } = await checkHost(expanded(spec, domain, evaluation), evaluation);
  if (result === "none") throw new SpfEnd("permerror", `include:${spec} of ${domain}: ${detail}`);
  return result === "pass";
}

async function isAmongMailHosts(
  mechanism: Extract<SpfMechanism, { kind: "a" | "mx" }>,
  domain: string,
  evaluation: Evaluation,
): Promise<boolean> {
  countLookup(evaluation, `mx:${mechanism.domain ?? domain}`);
  const name = mechanism.domain === null ? domain : expanded(mechanism.domain, domain, evaluation);
  const hosts = await ask(evaluation, evaluation.dns.mx(name));
  if (hosts.length > MAX_MX_HOSTS)
    throw new SpfEnd(
      "permerror",
      `mx:${name} has ${hosts.length} hosts, and ${MAX_MX_HOSTS} are looked up at most`,
    );
  for (const { exchange } of hosts) if (await isAmongAddresses(exchange, mechanism, evaluation)) return true;
  return false;
}

async function isAmongAddresses(
  name: string,
  { prefix4, prefix6 }: { prefix4: number; prefix6: number },
  evaluation: Evaluation,
): Promise<boolean> {
  const family = ipFamily(evaluation.ip);
  const addresses = await ask(evaluation, evaluation.dns.addresses(name, family));
  return addresses.some((address) => isInNetwork(evaluation.ip, address, family === 4 ? prefix4 : prefix6));
}

/** Records; none is a void lookup, of which few are allowed. */
async function ask<T>(evaluation: Evaluation, asked: Promise<DnsAnswer<T>>): Promise<readonly T[]> {
  const answer = await asked;
  if (answer.kind === "failed") throw new SpfEnd("temperror", answer.detail);
  if (answer.kind === "found") return answer.records;
  evaluation.voidLookups++;
  if (evaluation.voidLookups > MAX_VOID_LOOKUPS)
    throw new SpfEnd("permerror", `more than ${MAX_VOID_LOOKUPS} of its names have no records`);
  return [];
}

function countLookup(evaluation: Evaluation, term: string): void {
  evaluation.lookups++;
  if (evaluation.lookups > MAX_LOOKUPS)
    throw new SpfEnd(
      "permerror",
      `${term} is lookup number ${evaluation.lookups}, and ${MAX_LOOKUPS} are allowed`,
    );
}

function expanded(spec: string, domain: string, { ip, sender }: Evaluation): string {
  const name = expandMacros(spec, { ip, domain, sender });
  if (name === null)
    throw new SpfEnd("permerror", `${spec} of ${domain} has a macro that is not written right`);
  return name.toLowerCase();
}
