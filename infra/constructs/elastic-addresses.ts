/**
 * The addresses that mail leaves from: an Elastic IP for each name in a pool. They have a reputation, so they outlive the stack. Which
 * host holds which is decided while it runs (sender/addresses); hosts know them by their tags.
 */

import { CfnOutput, RemovalPolicy } from "aws-cdk-lib";
import { CfnEIP } from "aws-cdk-lib/aws-ec2";
import { Construct } from "constructs";

import { ADDRESS_NAME_TAG, INSTALLATION_TAG } from "#shared/aws/host-terms.ts";

export class ElasticAddresses extends Construct {
  constructor(scope: Construct, id: string, { prefix, names }: { prefix: string; names: readonly string[] }) {
    super(scope, id);
    for (const name of names) {
      const address = new CfnEIP(this, `Address-${name}`, {
        domain: "vpc",
        tags: [
          { key: INSTALLATION_TAG, value: prefix },
          { key: ADDRESS_NAME_TAG, value: name },
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
