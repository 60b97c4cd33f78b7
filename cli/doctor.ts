/** `zonefleet doctor`: is everything there that mail needs to leave, and to be believed? It looks, and changes nothing. */

import { parseArgs } from "node:util";

import { parseDomain } from "#shared/domain/address.ts";
import { egressNames, sendingDomains } from "#shared/domain/egress-names.ts";
import { DomainError } from "#shared/domain/errors.ts";

import type { Command, Terminal } from "./command.ts";
import { UsageError } from "./command.ts";
import { addressChecks, blocklistChecks } from "./doctor/addresses.ts";
import type { Check, Finding } from "./doctor/check.ts";
import { runChecks } from "./doctor/check.ts";
import { clockCheck } from "./doctor/clock.ts";
import { elasticChecks, reachChecks, troubleCheck } from "./doctor/deployment.ts";
import { domainChecks } from "./doctor/domains.ts";
import { accessCheck, certificateChecks, dataFolderChecks, healthCheck } from "./doctor/machine.ts";
import { port25Checks } from "./doctor/port-25.ts";
import type { ProbeTarget } from "./doctor/port-25.ts";
import type { IpsByName } from "./site/options.ts";
import { domainsOf, ipsByName, knownAddresses, SITE_OPTIONS, SITE_USAGE } from "./site/options.ts";
import { publishedKeys } from "./site/published-keys.ts";
import type { Site } from "./site/site.ts";

const usage = `  zonefleet doctor [--json]          check this machine, or with ZONEFLEET_BACKEND=aws the deployment; exit code 1 on failures
${SITE_USAGE}
      [--to <domain>]                connect to port 25 of its mail hosts from each address here; no mail is sent
      [--blocklists]                 ask whether the addresses are listed
      [--clock <URL>]                compare our clock with that of a web server`;

const OPTIONS = {
  ...SITE_OPTIONS,
  to: { type: "string" },
  blocklists: { type: "boolean" },
  clock: { type: "string" },
  json: { type: "boolean" },
} as const;

const SMTP_PORT = 25;

interface Asked {
  readonly ips: IpsByName;
  readonly senders: readonly string[];
  readonly target: ProbeTarget | null;
  readonly blocklists: boolean;
  readonly clock: string | null;
}

export const doctorCommand: Command = {
  usage,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
    if (positionals.length > 0) throw new UsageError("doctor takes options only");
    const asked: Asked = {
      ips: ipsByName(values.ip ?? []),
      senders: domainsOf(values.sender ?? []),
      target: values.to === undefined ? null : targetOf(values.to),
      blocklists: values.blocklists === true,
      clock: values.clock === undefined ? null : urlOf(values.clock),
    };
    using site = await terminal.site();
    const findings = await runChecks(await checksOf(site, asked, terminal));
    if (values.json === true) terminal.print(JSON.stringify(findings, null, 2));
    else terminal.print(asText(findings));
    const failures = findings.filter(({ status }) => status === "failure").length;
    if (failures > 0)
      throw new DomainError(
        "refused",
        `${failures} of ${findings.length} checks failed: do what is said after →, and call this again`,
      );
  },
};

async function checksOf(site: Site, asked: Asked, { env }: Terminal): Promise<Check[]> {
  const { config, dns, dataDir, reach, elasticIps } = site;
  const known = await knownAddresses(site, asked.ips);
  const found = await site.dkimKeys();
  const egress = egressNames(config, known.byName);
  const sending = sendingDomains(config, [...asked.senders, ...found.keys.map(({ domain }) => domain)]);
  const keys = publishedKeys(found, config, { sending, egress });
  const returnPaths = config.srs ? [config.srs.domain] : [];
  const isDeployed = reach !== null;
  return [
    ...reachChecks(reach ?? []),
    ...(dataDir === null ? [] : dataFolderChecks(dataDir, config)),
    ...healthCheck(apiUrl(site, env("ZONEFLEET_URL"))),
    ...accessCheck(config, { isDeployed, apiKeyCount: () => site.apiKeyCount() }),
    ...certificateChecks(config),
    clockCheck(asked.clock ?? site.clockUrl),
    ...(elasticIps ? elasticChecks(egress, elasticIps) : []),
    ...port25Checks(egress, asked.target, dns),
    ...addressChecks(egress, dns),
    ...domainChecks({ sending, returnPaths, egress, keys }, dns),
    ...troubleCheck("DKIM", found.trouble),
    ...(asked.blocklists ? blocklistChecks(egress, dns) : []),
  ];
}

/** Of a deployment only what is said: its API is at a name that the stacks print. */
function apiUrl({ config: { api }, dataDir }: Site, said: string | undefined): string | null {
  if (said !== undefined) return said;
  if (dataDir === null || !api.enabled) return null;
  const host = api.host === "0.0.0.0" ? "127.0.0.1" : api.host === "::" ? "::1" : api.host;
  return `http://${host.includes(":") ? `[${host}]` : host}:${api.port}`;
}

/** `example.com`, or `example.com:2525` for a mail host of one's own. */
function targetOf(text: string): ProbeTarget {
  const [, name = "", port] = /^(.*?)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const domain = parseDomain(name);
  if (domain === null || domain.startsWith("["))
    throw new UsageError(`--to is a domain that mail could be sent to, and not ${JSON.stringify(text)}`);
  return { domain, port: port === undefined ? SMTP_PORT : Number(port) };
}

function urlOf(text: string): string {
  if (!/^https?:$/.test(URL.parse(text)?.protocol ?? ""))
    throw new UsageError(`--clock is the URL of a web server, and not ${JSON.stringify(text)}`);
  return text;
}

const STATUS_CHARS = 9;
const TOPIC_CHARS = 13;

function asText(findings: readonly Finding[]): string {
  const lines = findings.map(({ status, topic, about, says, todo }) => {
    const line = `${status.padEnd(STATUS_CHARS)}${topic.padEnd(TOPIC_CHARS)}${about}: ${says}`;
    return todo === null ? line : `${line}\n${"".padEnd(STATUS_CHARS)}→ ${todo}`;
  });
  const count = (status: Finding["status"]) => findings.filter((finding) => finding.status === status).length;
  const sum = `ok: ${count("ok")}, warnings: ${count("warning")}, failures: ${count("failure")}, not looked at: ${count("skipped")}`;
  return [...lines, "", sum].join("\n");
}
