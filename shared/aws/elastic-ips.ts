/** The Elastic IPs of an account in its region, as anybody with credentials can ask for them, from any machine. */

import { DescribeAddressesCommand, EC2Client } from "@aws-sdk/client-ec2";
import type { Address } from "@aws-sdk/client-ec2";

import { SECOND } from "../domain/units.ts";
import type { KnownAddress } from "../domain/egress-names.ts";
import { clientSettings, endpointOf } from "./clients.ts";
import { ADDRESS_NAME_TAG, INSTALLATION_TAG } from "./host-terms.ts";

const ANSWER_MS = 5 * SECOND;
/** A call with all its tries. */
const CALL_MS = 12 * SECOND;

export interface ElasticIps {
  readonly ours: readonly (KnownAddress & { readonly name: string })[];
  /** Of the account in the region. */
  readonly total: number;
}

/** `installation`: what the stacks are called by, which is the name of the table. */
export async function listElasticIps(
  installation: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ElasticIps> {
  const ec2 = new EC2Client(clientSettings({}, endpointOf(env, "EC2"), { answerMs: ANSWER_MS }));
  try {
    const abortSignal = AbortSignal.timeout(CALL_MS);
    const { Addresses = [] } = await ec2.send(new DescribeAddressesCommand({}), { abortSignal });
    const ours = Addresses.flatMap((address) => oursOf(address, installation) ?? []);
    return { ours, total: Addresses.length };
  } finally {
    ec2.destroy();
  }
}

/** Null: of something else in the account. */
function oursOf(address: Address, installation: string): ElasticIps["ours"][number] | null {
  const { PublicIp, PrivateIpAddress, Tags = [] } = address;
  const tags = new Map(Tags.map(({ Key, Value }) => [Key, Value]));
  const name = tags.get(ADDRESS_NAME_TAG);
  if (tags.get(INSTALLATION_TAG) !== installation || name === undefined || PublicIp === undefined)
    return null;
  return { name, publicIp: PublicIp, privateAddress: PrivateIpAddress ?? null };
}
