/** Checks of the domains that mail is sent for: SPF names every address, DKIM keys are published and are ours, DMARC is there. */

import { checkSpf, MAX_LOOKUPS } from "#shared/app/check-spf.ts";
import { dkimRecordName, judgeDkimRecord } from "#shared/domain/dkim-record.ts";
import type { DkimKey } from "#shared/domain/dkim.ts";
import type { EgressName } from "#shared/domain/egress-names.ts";
import { ipFamily } from "#shared/domain/ip.ts";
import type { Dns } from "#shared/ports/dns.ts";

import type { Check, Verdict } from "./check.ts";
import { failure, noAnswer, ok, skipped, warning } from "./check.ts";

export interface Domains {
  /** In whose name mail is sent. */
  readonly sending: readonly string[];
  /** Of return paths that are rewritten; empty: none. */
  readonly returnPaths: readonly string[];
  readonly egress: readonly EgressName[];
  readonly keys: readonly DkimKey[];
}

export function domainChecks({ sending, returnPaths, egress, keys }: Domains, dns: Dns): Check[] {
  const ips = [...new Set(egress.flatMap(({ publicIps }) => publicIps))];
  const senders = [...new Set([...sending, ...returnPaths])];
  const spf = senders.flatMap((domain) =>
    ips.map((ip): Check => ({
      topic: "SPF",
      about: `${domain} ${ip}`,
      run: () => checkDomain(dns, domain, ip),
    })),
  );
  const dkim = keys.map((key): Check => ({
    topic: "DKIM",
    about: dkimRecordName(key),
    run: () => checkKey(dns, key),
  }));
  const dmarc = sending.map((domain): Check => ({
    topic: "DMARC",
    about: domain,
    run: () => checkDmarc(dns, domain),
  }));
  return [...spf, ...dkim, ...dmarc, ...unknown({ sending, keys })];
}

function unknown({ sending, keys }: Pick<Domains, "sending" | "keys">): Check[] {
  const checks: Check[] = [];
  if (sending.length === 0) {
    const verdict = skipped("in whose name mail is sent is not known here", "Say it with --sender <domain>.");
    checks.push({ topic: "SPF", about: "sender domains", run: () => Promise.resolve(verdict) });
  }
  if (keys.length === 0) {
    const verdict = warning(
      "mail is not signed: there is no key",
      "Make a key, name it in dkim.keys, and publish what `npx zonefleet dns` prints for it.",
    );
    checks.push({ topic: "DKIM", about: "keys", run: () => Promise.resolve(verdict) });
  }
  return checks;
}

async function checkDomain(dns: Dns, domain: string, ip: string): Promise<Verdict> {
  const { result, detail, lookups } = await checkSpf(dns, { ip, domain });
  const term = `ip${ipFamily(ip)}:${ip}`;
  switch (result) {
    case "pass":
      return ok(`${detail} lets it pass, after ${lookups} of ${MAX_LOOKUPS} lookups`);
    case "temperror":
      return noAnswer(detail);
    case "permerror":
      return failure(
        `receivers stop at an error: ${detail}`,
        `Put right the SPF record of ${domain}, or of what it includes.`,
      );
    case "none":
      return failure(
        detail,
        `Publish: ${domain}. TXT "v=spf1 ${term} ~all", or what \`npx zonefleet dns\` prints.`,
      );
    case "fail":
    case "softfail":
    case "neutral":
      return failure(
        `SPF says ${result} (${detail})`,
        `Put ${term}, or an include of the _spf record that \`npx zonefleet dns\` prints, before the all of the SPF record of ${domain}.`,
      );
  }
}

async function checkKey(dns: Dns, key: DkimKey): Promise<Verdict> {
  const name = dkimRecordName(key);
  const answer = await dns.txt(name);
  if (answer.kind === "failed") return noAnswer(answer.detail);
  const publish = `Publish what \`npx zonefleet dns\` prints for ${name}.`;
  const records = answer.kind === "found" ? answer.records : [];
  if (records.length === 0)
    return failure("the key is not published, and no signature of it can be verified", publish);
  const verdicts = records.map((record) => judgeDkimRecord(record, key));
  const match = verdicts.find(({ kind }) => kind === "matches");
  // RFC 6376 §3.6.2.2: with more than one record, what a verifier does is its own affair
  if (match && records.length > 1)
    return failure(
      "there are several records, and verifiers take any of them",
      "Leave the one with our key.",
    );
  if (match?.kind === "matches" && match.testing)
    return warning("the record says t=y: verifiers make nothing of signatures", "Take t=y out of it.");
  if (match)
    return key.warning === null ? ok("the key that is published is ours") : warning(key.warning, null);
  const [first] = verdicts;
  if (first?.kind === "revoked")
    return failure("the record has no key in it (p=), which revokes it", publish);
  if (first?.kind === "broken") return failure(`the record cannot be used: ${first.detail}`, publish);
  return failure("another key is published than the one that signs", publish);
}

const MIN_LABELS = 2;
const MAX_LABELS = 8;

/** The record of the domain, else that of the nearest one above it that has one. */
async function checkDmarc(dns: Dns, domain: string): Promise<Verdict> {
  const labels = domain.split(".").slice(-MAX_LABELS);
  for (let i = 0; labels.length - i >= MIN_LABELS; i++) {
    const name = `_dmarc.${labels.slice(i).join(".")}`;
    const answer = await dns.txt(name);
    if (answer.kind === "failed") return noAnswer(answer.detail);
    const records =
      answer.kind === "found" ? answer.records.filter((text) => /^v\s*=\s*DMARC1\s*(;|$)/.test(text)) : [];
    if (records.length > 1)
      return failure(
        `${name} has ${records.length} records, and receivers use none of them`,
        "Leave one of them.",
      );
    if (records[0] !== undefined) return judgeDmarc(name, records[0]);
  }
  return failure(
    "there is no DMARC record: large receivers refuse much mail of such a domain",
    `Publish: _dmarc.${domain}. TXT "v=DMARC1; p=none; rua=mailto:postmaster@${domain}"`,
  );
}

function judgeDmarc(name: string, record: string): Verdict {
  const [, policy] = /;\s*p\s*=\s*(\w+)/i.exec(record) ?? [];
  if (policy !== undefined && /^(none|quarantine|reject)$/i.test(policy))
    return ok(`${name} says p=${policy.toLowerCase()}`);
  return failure(`${name} has no policy that receivers know`, "Give it p=none, p=quarantine or p=reject.");
}
