/**
 * The DNS records that let others believe our mail, from the configuration and the addresses it leaves by. Only what is to be
 * published: whether it is there, `zonefleet doctor` looks.
 */

import { createHash } from "node:crypto";

import type { Config } from "./config.ts";
import { dkimRecord, dkimRecordName } from "./dkim-record.ts";
import type { DkimKey } from "./dkim.ts";
import type { EgressName } from "./egress-names.ts";
import { ipFamily, reverseName } from "./ip.ts";
import type { DnsRecord } from "./zone-file.ts";

/** Records that belong together, and what people are to know about them. */
export interface Publication {
  readonly topic: "addresses" | "spf" | "dkim" | "dmarc" | "bounces" | "mta-sts" | "hosts";
  /** Sentences, without line ends but before lines that are to be kept as they are, which are indented. */
  readonly notes: readonly string[];
  readonly records: readonly DnsRecord[];
}

export interface ToPublish {
  readonly config: Pick<Config, "srs">;
  readonly egress: readonly EgressName[];
  /** Domains that mail is sent in the name of. */
  readonly domains: readonly string[];
  readonly keys: readonly DkimKey[];
  /** The host names of the installation are below it; its `_spf` record lists the addresses. */
  readonly base: string;
  /** Host names that AWS has given to API and load balancer; null: no record for them. */
  readonly targets: { readonly api: string | null; readonly smtp: string | null };
  /** True: the records of MTA-STS and TLS-RPT, too. */
  readonly mtaSts: boolean;
}

export function dnsToPublish(input: ToPublish): Publication[] {
  const publications = [
    addresses(input),
    spf(input),
    dkim(input),
    dmarc(input),
    bounces(input),
    ...(input.mtaSts ? [mtaSts(input)] : []),
    hosts(input),
  ];
  return publications.filter(({ notes, records }) => notes.length > 0 || records.length > 0);
}

function addresses({ egress }: ToPublish): Publication {
  const unknown = egress.filter(({ publicIps }) => publicIps.length === 0);
  const known = egress.flatMap(({ name, publicIps }) => publicIps.map((ip) => ({ name, ip })));
  const forward = known.map(({ name, ip }): DnsRecord => ({ name, type: typeOf(ip), value: ip }));
  const reverse = known.map(({ name, ip }): DnsRecord => ({
    name: reverseName(ip),
    type: "PTR",
    value: name,
  }));
  return {
    topic: "addresses",
    notes: [
      "Each address and its EHLO name lead to one another. PTR records are made by whoever the address is from; those of Elastic IPs are set by ZoneFleet itself, once the A record is there.",
      ...unknown.map(
        ({ name }) => `The public address of ${name} is not known here: say it with --ip ${name}=<address>.`,
      ),
    ],
    records: [...forward, ...reverse],
  };
}

/** One record lists the addresses, and all others refer to it, so that a new address is written in one place. */
function spf({ egress, domains, base, config: { srs } }: ToPublish): Publication {
  const returnPaths = [...new Set([...domains, ...(srs ? [srs.domain] : [])])];
  const ips = [...new Set(egress.flatMap(({ publicIps }) => publicIps))];
  if (ips.length === 0)
    return { topic: "spf", notes: ["Without an address there is nothing to say in SPF."], records: [] };
  const terms = ips.map((ip) => `ip${ipFamily(ip)}:${ip}`).join(" ");
  const ehloNames = egress.map(({ name }) => name).filter((name) => !returnPaths.includes(name));
  return {
    topic: "spf",
    notes: [
      "A domain has one SPF record (RFC 7208 section 3.2): if it has one already, put the include into that before its `all`.",
      "EHLO names have their own, which counts for reports on bounces: they have no return path.",
      ...nobodyKnown(domains),
    ],
    records: [
      text(`_spf.${base}`, `v=spf1 ${terms} -all`),
      ...returnPaths.map((domain) => text(domain, `v=spf1 include:_spf.${base} ~all`)),
      ...ehloNames.map((name) => text(name, "v=spf1 a -all")),
    ],
  };
}

function dkim({ keys }: ToPublish): Publication {
  const note = "There is no DKIM key: receivers want mail to be signed (dkim.keys in the configuration).";
  return {
    topic: "dkim",
    notes: keys.length === 0 ? [note] : [],
    records: keys.map((key) => text(dkimRecordName(key), dkimRecord(key))),
  };
}

function dmarc({ domains }: ToPublish): Publication {
  return {
    topic: "dmarc",
    notes: [
      "A suggestion for the first weeks: it changes nothing and has reports sent. When they show that all your mail passes, say p=quarantine, later p=reject. A domain that has a DMARC record keeps the one it has.",
    ],
    records: domains.map((domain) =>
      text(`_dmarc.${domain}`, `v=DMARC1; p=none; rua=mailto:postmaster@${domain}`),
    ),
  };
}

function bounces({ config: { srs }, base, targets }: ToPublish): Publication {
  if (srs === null)
    return {
      topic: "bounces",
      notes: [
        "Bounces of mail that was accepted first go to the return path it was sent with, so the domain of each return path needs an MX record of a server that takes mail for it. ZoneFleet itself takes bounces for core/srs only, which is off.",
      ],
      records: [],
    };
  return {
    topic: "bounces",
    notes: [
      "Return paths are rewritten into this domain (core/srs), and bounces come back to an SMTP interface of ours, on port 25.",
    ],
    // RFC 2181 §10.3: an MX record names no alias, so the load balancer itself is named.
    records: [{ name: srs.domain, type: "MX", preference: 10, value: targets.smtp ?? base }],
  };
}

/** For mail to us: the domains of bounces, else the base. */
function mtaSts({ config: { srs }, base, targets }: ToPublish): Publication {
  const domain = srs?.domain ?? base;
  const policy = ["version: STSv1", "mode: testing", `mx: ${targets.smtp ?? base}`, "max_age: 86400"];
  const id = createHash("sha256").update(policy.join("\n")).digest("hex").slice(0, 20);
  return {
    topic: "mta-sts",
    notes: [
      `For mail to ${domain}. The policy is to be served at https://mta-sts.${domain}/.well-known/mta-sts.txt, which needs a web server and an address record of its own, as these lines, each ended by CRLF:\n${policy.map((line) => `    ${line}`).join("\n")}`,
      "Say `mode: enforce` once the reports are clean, with another id.",
    ],
    records: [
      text(`_mta-sts.${domain}`, `v=STSv1; id=${id};`),
      text(`_smtp._tls.${domain}`, `v=TLSRPTv1; rua=mailto:postmaster@${domain}`),
    ],
  };
}

function hosts({ base, targets }: ToPublish): Publication {
  const records = (["api", "smtp"] as const).flatMap((host): DnsRecord[] => {
    const target = targets[host];
    return target === null ? [] : [{ name: `${host}.${base}`, type: "CNAME", value: target }];
  });
  return { topic: "hosts", notes: [], records };
}

function nobodyKnown(domains: readonly string[]): string[] {
  return domains.length > 0
    ? []
    : [
        "In whose name mail is sent is not known here: say it with --sender <domain>, as often as there are domains.",
      ];
}

function typeOf(ip: string): "A" | "AAAA" {
  return ipFamily(ip) === 4 ? "A" : "AAAA";
}

function text(name: string, value: string): DnsRecord {
  return { name, type: "TXT", value };
}
