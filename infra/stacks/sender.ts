/** The hosts that send and take SMTP in, their network, their addresses, and the load balancer before them. They keep nothing. */

import { Stack, Tags } from "aws-cdk-lib";
import type { StackProps } from "aws-cdk-lib";
import type { Construct } from "constructs";

import { INSTALLATION_TAG } from "#shared/aws/host-terms.ts";

import { ElasticAddresses } from "../constructs/elastic-addresses.ts";
import { Network } from "../constructs/network.ts";
import { SenderHosts } from "../constructs/sender-hosts.ts";
import { SmtpBalancer } from "../constructs/smtp-balancer.ts";
import type { Deployment } from "../deployment.ts";
import type { Installation } from "../installation.ts";
import { WITHOUT_TAGS } from "../without-tags.ts";

export interface SenderProps extends StackProps {
  readonly names: Installation;
  readonly deployment: Deployment;
  /** EHLO names of the Elastic IPs. */
  readonly addressNames: readonly string[];
  /** Ports of the SMTP interfaces that others than this host can reach. */
  readonly smtpPorts: readonly number[];
  /** Folder with the bundled sender and its boot script. */
  readonly folder: string;
}

export class SenderStack extends Stack {
  readonly hosts: SenderHosts;

  constructor(scope: Construct, id: string, props: SenderProps) {
    super(scope, id, props);
    const { names, deployment, addressNames, smtpPorts, folder } = props;
    const { vpc } = new Network(this, "Network", {
      vpc: deployment.vpc,
      logName: `/zonefleet/${names.prefix}/refused`,
    });
    new ElasticAddresses(this, "Addresses", { prefix: names.prefix, names: addressNames });
    const isBalanced = smtpPorts.length > 0;
    const { senders } = deployment;
    this.hosts = new SenderHosts(this, "Senders", { names, senders, vpc, isBalanced, folder });
    if (isBalanced)
      new SmtpBalancer(this, "Smtp", {
        name: names.prefix,
        vpc,
        ports: smtpPorts,
        clients: deployment.smtpClients,
        hosts: this.hosts.group,
        hostGroup: this.hosts.securityGroup,
        domain: `smtp.${deployment.domain}`,
      });
    Tags.of(this).add(INSTALLATION_TAG, names.prefix, { excludeResourceTypes: [...WITHOUT_TAGS] });
  }
}
