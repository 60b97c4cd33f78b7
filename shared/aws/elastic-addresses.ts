/**
 * Elastic IPs by EC2's API, known by the tags that the stacks give them; this host by its instance metadata; and its end by the
 * lifecycle of its Auto Scaling group, which has the name of the installation. Each call is bounded; what fails is the caller's to try
 * again.
 */

import { AutoScalingClient, CompleteLifecycleActionCommand } from "@aws-sdk/client-auto-scaling";
import {
  AssociateAddressCommand,
  DescribeAddressesCommand,
  EC2Client,
  ModifyAddressAttributeCommand,
} from "@aws-sdk/client-ec2";
import type { Address } from "@aws-sdk/client-ec2";

import { SECOND } from "../domain/units.ts";
import type { ElasticAddress, ElasticAddresses } from "../ports/elastic-addresses.ts";
import type { AwsClientOptions } from "./clients.ts";
import { clientSettings, endpointOf } from "./clients.ts";
import { ADDRESS_NAME_TAG, DRAIN_HOOK, INSTALLATION_TAG } from "./host-terms.ts";
import { instanceMetadata } from "./instance-metadata.ts";

export interface ElasticAddressesOptions extends Pick<AwsClientOptions, "region" | "credentials"> {
  /** Value of the tag, and name of the Auto Scaling group. */
  readonly installation: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Answers come within a second; AssociateAddress takes its time. */
const ANSWER_MS = 5 * SECOND;
/** A call with all its tries: a lease must not lapse meanwhile. */
const CALL_MS = 8 * SECOND;
/** What the Auto Scaling group has in mind for this instance when it is to end. */
const ENDING_STATE = "Terminated";

export function ec2ElasticAddresses(options: ElasticAddressesOptions): ElasticAddresses & { close(): void } {
  const { installation, env } = options;
  const settings = (service: string) =>
    clientSettings(options, endpointOf(env, service), { answerMs: ANSWER_MS });
  const ec2 = new EC2Client(settings("EC2"));
  const autoScaling = new AutoScalingClient(settings("AUTO_SCALING"));
  const metadata = instanceMetadata(env);
  const inTime = () => ({ abortSignal: AbortSignal.timeout(CALL_MS) });

  async function known(path: string): Promise<string> {
    const text = await metadata.read(path);
    if (text === null) throw new Error(`instance metadata knows no ${path}`);
    return text;
  }

  return {
    async list() {
      const Filters = [{ Name: `tag:${INSTALLATION_TAG}`, Values: [installation] }];
      const { Addresses = [] } = await ec2.send(new DescribeAddressesCommand({ Filters }), inTime());
      return Addresses.flatMap((address) => addressOf(address) ?? []);
    },

    async host() {
      const mac = await known("mac");
      const at = `network/interfaces/macs/${mac}`;
      const [instance, networkInterface, own, all] = await Promise.all(
        ["instance-id", `${at}/interface-id`, "local-ipv4", `${at}/local-ipv4s`].map(known),
      );
      const privateAddresses = lines(all).filter((address) => address !== own);
      return { instance: instance ?? "", networkInterface: networkInterface ?? "", privateAddresses };
    },

    async associate(id, privateAddress) {
      const mac = await known("mac");
      const command = new AssociateAddressCommand({
        AllocationId: id,
        NetworkInterfaceId: await known(`network/interfaces/macs/${mac}/interface-id`),
        PrivateIpAddress: privateAddress,
        AllowReassociation: true,
      });
      await ec2.send(command, inTime());
    },

    async setReverseName(id, name) {
      await ec2.send(new ModifyAddressAttributeCommand({ AllocationId: id, DomainName: name }), inTime());
    },

    async isEnding() {
      return (await metadata.read("autoscaling/target-lifecycle-state")) === ENDING_STATE;
    },

    async ended() {
      const command = new CompleteLifecycleActionCommand({
        AutoScalingGroupName: installation,
        LifecycleHookName: DRAIN_HOOK,
        LifecycleActionResult: "CONTINUE",
        InstanceId: await known("instance-id"),
      });
      await autoScaling.send(command, inTime());
    },

    close() {
      ec2.destroy();
      autoScaling.destroy();
    },
  };
}

/** Null: it has no name, so it is none that mail is sent from. */
function addressOf(address: Address): ElasticAddress | null {
  const { AllocationId, PublicIp, NetworkInterfaceId, PrivateIpAddress, Tags = [] } = address;
  const name = Tags.find(({ Key }) => Key === ADDRESS_NAME_TAG)?.Value;
  if (AllocationId === undefined || PublicIp === undefined || name === undefined) return null;
  const at =
    NetworkInterfaceId && PrivateIpAddress
      ? { networkInterface: NetworkInterfaceId, privateAddress: PrivateIpAddress }
      : null;
  return { id: AllocationId, name, publicIp: PublicIp, at };
}

function lines(text = ""): string[] {
  return text.split("\n").flatMap((line) => line.trim() || []);
}
