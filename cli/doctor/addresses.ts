/** Checks of egress addresses as the world sees them: do name and address lead to one another, and does a blocklist have them? */

import type { EgressName } from "#shared/domain/egress-names.ts";
import { ipFamily, reversedLabels } from "#shared/domain/ip.ts";
import type { Dns } from "#shared/ports/dns.ts";

import type { Check, Verdict } from "./check.ts";
import { failure, noAnswer, ok, warning } from "./check.ts";

export function addressChecks(egress: readonly EgressName[], dns: Dns): Check[] {
  return egress.flatMap(({ name, publicIps, isElastic }) => {
    if (publicIps.length === 0)
      return [{ topic: "address", about: name, run: () => checkUnknown(dns, name, { isElastic }) }];
    return publicIps.flatMap((ip): Check[] => [
      { topic: "forward DNS", about: `${name} ${ip}`, run: () => checkForward(dns, name, ip) },
      { topic: "reverse DNS", about: `${ip} ${name}`, run: () => checkReverse(dns, name, ip) },
    ]);
  });
}

/** Where it is sent from is not known, but a name that leads nowhere is wrong from anywhere. */
async function checkUnknown(
  dns: Dns,
  name: string,
  { isElastic }: Pick<EgressName, "isElastic">,
): Promise<Verdict> {
  const answers = await Promise.all([dns.addresses(name, 4), dns.addresses(name, 6)]);
  const found = answers.flatMap((answer) => (answer.kind === "found" ? answer.records : []));
  const failed = answers.find((answer) => answer.kind === "failed");
  if (found.length === 0 && failed) return noAnswer(failed.detail);
  if (found.length === 0)
    return failure(
      "mail says EHLO with a name that leads nowhere, and many mail hosts refuse that",
      isElastic
        ? "Deploy, which makes its Elastic IP, and publish what `npx zonefleet dns` prints then."
        : "Set hostname, or the name in the pool, to a name in the DNS that leads to the address mail leaves by.",
    );
  return warning(
    `the name leads to ${found.join(", ")}; whether mail leaves by it is not known here`,
    `Say it with --ip ${name}=<address>; with ZONEFLEET_BACKEND=aws Elastic IPs are found by themselves.`,
  );
}

async function checkForward(dns: Dns, name: string, ip: string): Promise<Verdict> {
  const answer = await dns.addresses(name, ipFamily(ip));
  if (answer.kind === "failed") return noAnswer(answer.detail);
  const found = answer.kind === "found" ? answer.records : [];
  if (found.includes(ip)) return ok("the name leads to the address");
  const type = ipFamily(ip) === 4 ? "A" : "AAAA";
  const says =
    found.length === 0 ? `${name} has no ${type} record` : `${name} leads to ${found.join(", ")} only`;
  return failure(says, `Publish: ${name}. ${type} ${ip}`);
}

async function checkReverse(dns: Dns, name: string, ip: string): Promise<Verdict> {
  const answer = await dns.reverse(ip);
  if (answer.kind === "failed") return noAnswer(answer.detail);
  const names = answer.kind === "found" ? answer.records : [];
  const todo =
    `Have the owner of the address (your provider) set the PTR record of ${ip} to ${name}. ` +
    `Senders on AWS set that of an Elastic IP themselves, within ten minutes after the A record can be seen.`;
  if (names.includes(name)) return ok("the address leads to the name");
  if (names.length === 0)
    return failure("the address has no PTR record, and many mail hosts refuse it", todo);
  const leadsBack = await Promise.all(names.slice(0, 5).map((other) => hasAddress(dns, other, ip)));
  const says = `the address leads to ${names.join(", ")}, and mail says EHLO ${name}`;
  // Forward-confirmed all the same: few mail hosts ask for more.
  return leadsBack.includes(true) ? warning(says, todo) : failure(says, todo);
}

async function hasAddress(dns: Dns, name: string, ip: string): Promise<boolean> {
  const answer = await dns.addresses(name, ipFamily(ip));
  return answer.kind === "found" && answer.records.includes(ip);
}

/** Lists that many mail hosts ask. Each has a page under its name that says why an address is there, and takes it off. */
const BLOCKLISTS = ["zen.spamhaus.org", "bl.spamcop.net", "b.barracudacentral.org", "psbl.surriel.com"];

export function blocklistChecks(egress: readonly EgressName[], dns: Dns): Check[] {
  const ips = [...new Set(egress.flatMap(({ publicIps }) => publicIps))];
  return ips.flatMap((ip) =>
    BLOCKLISTS.map((list) => ({
      topic: "blocklist",
      about: `${ip} ${list}`,
      run: () => checkBlocklist(dns, ip, list),
    })),
  );
}

/** RFC 5782: listed is an answer in 127.0.0.0/8. Spamhaus answers 127.255.255.x to who may not ask. */
async function checkBlocklist(dns: Dns, ip: string, list: string): Promise<Verdict> {
  const answer = await dns.addresses(`${reversedLabels(ip)}.${list}`, 4);
  if (answer.kind === "failed") return noAnswer(answer.detail);
  if (answer.kind !== "found") return ok("not listed");
  const codes = answer.records.join(", ");
  const isRefusal = answer.records.some((code) => code.startsWith("127.255.255."));
  if (isRefusal || !answer.records.every((code) => code.startsWith("127.")))
    return warning(
      `the list gives no answer to this name server (${codes})`,
      "Ask by a name server of your own: public ones are refused.",
    );
  return failure(
    `the address is listed (${codes})`,
    `See https://${list.split(".").slice(-2).join(".")} for why, and how it is taken off.`,
  );
}
