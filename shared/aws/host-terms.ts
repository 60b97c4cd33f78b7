/** What sender hosts and the stacks that make them have to agree on. */

/** Tag of Elastic IPs, hosts and all else of an installation; its value is the installation's name. */
export const INSTALLATION_TAG = "zonefleet:installation";
/** Tag of an Elastic IP; its value is the EHLO name, which reverse DNS says too. */
export const ADDRESS_NAME_TAG = "zonefleet:name";
/** Lifecycle hook of the Auto Scaling group, by which a host that is to end has time to drain. */
export const DRAIN_HOOK = "drain";
