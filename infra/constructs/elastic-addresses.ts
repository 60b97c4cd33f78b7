/**
 * The addresses that mail leaves from: an Elastic IP for each name in a pool. They have a reputation, so they outlive the stack. Which
 * host holds which is decided while it runs (sender/aws); hosts know them by their tags.
 */

import { CfnOutput, RemovalPolicy } from "aws-cdk-lib";
import { CfnEIP } from "aws-cdk-lib/aws-ec2";
import { Construct } from "constructs";

/** Its value is the name of the installation. Hosts and their network interfaces have it too. */
export const TAG = "zonefleet:installation";
/** Its value is the EHLO name, which reverse DNS says too. */
export const NAME_TAG = "zonefleet:name";

export class ElasticAddresses extends Construct {
  constructor(scope: Construct, id: string, { prefix, names }: { prefix: string; names: readonly string[] }) {
    super(scope, id);
    for (const name of names) {
      const address = new CfnEIP(this, `Address-${name}`, {
        domain: "vpc",
        tags: [
          { key: TAG, value: prefix },
          { key: NAME_TAG, value: name },
          { key: "Name", value: `${prefix} ${name}` },
        ],
      });
      address.applyRemovalPolicy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE);
      new CfnOutput(this, `Ip-${name}`, {
        value: address.attrPublicIp,
        description: `Publish an A record of ${name} with it`,
      });
    }
  }
}
