/** Checks of a deployment on AWS, with the credentials that are found here: its parts answer, and its Elastic IPs are there. */

import type { EgressName } from "#shared/domain/egress-names.ts";

import type { ElasticIps, Reach } from "../site/site.ts";
import type { Check, Verdict } from "./check.ts";
import { failure, messageOf, ok, warning } from "./check.ts";

/** What AWS gives an account in a region before it asks for more. */
const DEFAULT_ELASTIC_IPS = 5;

export function reachChecks(parts: readonly Reach[]): Check[] {
  return parts.map((part) => ({ topic: "reach", about: part.what, run: () => reach(part) }));
}

async function reach(part: Reach): Promise<Verdict> {
  try {
    await part.ask();
    return ok("it answers");
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    return failure(`it cannot be used: ${name} ${messageOf(error)}`.replace(" Error ", " "), todoOf(name));
  }
}

function todoOf(name: string): string {
  if (/AccessDenied|NotAuthorized|UnrecognizedClient|InvalidSignature|ExpiredToken|Credentials/.test(name))
    return "Use credentials of the deployment's account, and see what they may do: the sender role has what is needed.";
  if (/NotFound|NoSuch|NonExistent|DoesNotExist/.test(name))
    return "Deploy it, or set ZONEFLEET_TABLE, ZONEFLEET_BUCKET, ZONEFLEET_QUEUE_PREFIX, ZONEFLEET_SECRET and AWS_REGION to what is deployed.";
  return "See that AWS can be reached from here, and that AWS_REGION is the region of the deployment.";
}

/** `wanted`: names of pools whose addresses are Elastic IPs. */
export function elasticChecks(egress: readonly EgressName[], list: () => Promise<ElasticIps>): Check[] {
  const wanted = egress.filter(({ isElastic }) => isElastic).map(({ name }) => name);
  return [{ topic: "Elastic IPs", about: "quota", run: async () => judgeElastic(wanted, await list()) }];
}

function judgeElastic(wanted: readonly string[], { ours, total }: ElasticIps): Verdict {
  const there = new Set(ours.map(({ name }) => name.toLowerCase()));
  const missing = wanted.filter((name) => !there.has(name));
  const says = `${total} in the account and region, ${ours.length} of this deployment; AWS gives ${DEFAULT_ELASTIC_IPS} unless it was asked for more`;
  if (missing.length === 0) return ok(says);
  const isTooMany = total <= DEFAULT_ELASTIC_IPS && total + missing.length > DEFAULT_ELASTIC_IPS;
  const first = isTooMany
    ? "Ask for a higher quota first (Service Quotas, EC2-VPC Elastic IPs), then deploy: "
    : "";
  return failure(
    `${says}; there is none for ${missing.join(", ")}`,
    `${first}npx cdk deploy --all makes them.`,
  );
}

/** For who cannot be asked: it is no fault of the deployment. */
export function troubleCheck(topic: string, trouble: string | null): Check[] {
  if (trouble === null) return [];
  return [
    { topic, about: "store", run: () => Promise.resolve(warning(`not all could be read: ${trouble}`, null)) },
  ];
}
