/** `zonefleet dns`: the DNS records to publish for this configuration, as a zone file or as JSON. It asks nobody for what is there. */

import { parseArgs } from "node:util";

import type { Publication } from "#shared/domain/dns-to-publish.ts";
import { dnsToPublish } from "#shared/domain/dns-to-publish.ts";
import { egressNames, sendingDomains } from "#shared/domain/egress-names.ts";
import { parseDomain } from "#shared/domain/address.ts";
import type { DnsRecord } from "#shared/domain/zone-file.ts";
import { TTL_SECONDS, txtStrings, zoneLine } from "#shared/domain/zone-file.ts";

import type { Command } from "./command.ts";
import { UsageError } from "./command.ts";
import { domainsOf, ipsByName, knownAddresses, SITE_OPTIONS, SITE_USAGE } from "./site/options.ts";
import { publishedKeys } from "./site/published-keys.ts";

const usage = `  zonefleet dns [--json]             print the DNS records to publish: addresses, SPF, DKIM, DMARC, bounces
${SITE_USAGE}
      [--domain <domain>]            what host names are below; else the host name of the configuration
      [--api <host>] [--smtp <host>] names that AWS gave to API and load balancer: api.<domain>, smtp.<domain> lead there
      [--mta-sts]                    records of MTA-STS and of reports on TLS, too`;

const OPTIONS = {
  ...SITE_OPTIONS,
  domain: { type: "string" },
  api: { type: "string" },
  smtp: { type: "string" },
  "mta-sts": { type: "boolean" },
  json: { type: "boolean" },
} as const;

const COMMENT_CHARS = 120;

export const dnsCommand: Command = {
  usage,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
    if (positionals.length > 0) throw new UsageError("dns takes options only");
    const given = ipsByName(values.ip ?? []);
    const more = domainsOf(values.sender ?? []);
    using site = await terminal.site();
    const known = await knownAddresses(site, given);
    if (known.trouble !== null) terminal.complain(`Elastic IPs: ${known.trouble}`);
    const keys = await site.dkimKeys();
    if (keys.trouble !== null) terminal.complain(`DKIM keys of the store: ${keys.trouble}`);
    const { config } = site;
    const egress = egressNames(config, known.byName);
    const sending = sendingDomains(config, [...more, ...keys.keys.map(({ domain }) => domain)]);
    const publications = dnsToPublish({
      config,
      egress,
      domains: sending,
      keys: publishedKeys(keys, config, { sending, egress }),
      base: values.domain === undefined ? config.hostname : domainNamed("--domain", values.domain),
      targets: {
        api: values.api === undefined ? null : domainNamed("--api", values.api),
        smtp: values.smtp === undefined ? null : domainNamed("--smtp", values.smtp),
      },
      mtaSts: values["mta-sts"] === true,
    });
    terminal.print(values.json === true ? asJson(publications) : asZoneFile(publications));
  },
};

function asZoneFile(publications: readonly Publication[]): string {
  const blocks = publications.map(({ topic, notes, records }) =>
    [`; ${topic}`, ...notes.flatMap(commentLines), ...records.map(zoneLine)].join("\n"),
  );
  return blocks.join("\n\n");
}

function commentLines(note: string): string[] {
  return note.split("\n").flatMap((line) => (line.startsWith(" ") ? [`; ${line}`] : wrapped(line)));
}

/** A word that is too long has a line of its own. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = ";";
  for (const word of text.split(" ")) {
    if (line !== ";" && line.length + 1 + word.length > COMMENT_CHARS) {
      lines.push(line);
      line = ";";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function asJson(publications: readonly Publication[]): string {
  const records = publications.flatMap(({ topic, records: of }) =>
    of.map((record) => ({ topic, ...record, ttl: TTL_SECONDS, ...stringsOf(record) })),
  );
  const notes = publications.flatMap(({ topic, notes: of }) => of.map((note) => ({ topic, note })));
  return JSON.stringify({ records, notes }, null, 2);
}

function stringsOf(record: DnsRecord): { strings?: string[] } {
  return record.type === "TXT" ? { strings: txtStrings(record.value) } : {};
}

function domainNamed(option: string, text: string): string {
  const domain = parseDomain(text.replace(/\.$/, ""));
  if (domain === null || domain.startsWith("["))
    throw new UsageError(`${option} is a domain name, and not ${JSON.stringify(text)}`);
  return domain;
}
