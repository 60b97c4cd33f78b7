/**
 * The deployment record: what the stacks need to know beyond the mail configuration. People write it as `zonefleet.deployment.ts`
 * (`export default defineDeployment({ … })`); it holds no secret, so it belongs beside the configuration in version control.
 */

import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import * as z from "zod";

import { DomainError } from "#shared/domain/errors.ts";

const DOMAIN = /^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const domain = z.string().regex(DOMAIN, "expected a domain name in lower case");
const arn = z.string().regex(/^arn:aws[a-z-]*:/, "expected an ARN");

function idOf(kind: string): z.ZodString {
  return z
    .string()
    .regex(
      new RegExp(`^${kind}-([0-9a-f]{8}|[0-9a-f]{17})$`),
      `expected an id such as ${kind}-0123456789abcdef0`,
    );
}

/** A network that is there already. */
const ExistingVpc = z
  .strictObject({
    id: idOf("vpc"),
    cidr: z.cidrv4(),
    /** Such as eu-central-1a. */
    availabilityZones: z.array(z.string()).min(1),
    /** One in each of them, in their order. */
    publicSubnetIds: z.array(idOf("subnet")).min(1),
    /** Route tables of those subnets, which get the gateway endpoints of S3 and DynamoDB. Left out: they have them already. */
    publicRouteTableIds: z.array(idOf("rtb")).default([]),
  })
  .refine(
    ({ availabilityZones, publicSubnetIds }) => availabilityZones.length === publicSubnetIds.length,
    "expected one subnet for each availability zone",
  );

/** As CDK reads it, which knows the processor by it. */
const INSTANCE_TYPE = /^[a-z]+\d{1,2}[a-z-]*\.[a-z0-9-]+$/;

const Fields = z.strictObject({
  /** In the name of everything: `zonefleet-<environment>`. It cannot be changed later. */
  environment: z.string().regex(/^[a-z][a-z0-9]{0,11}$/, "expected 1 to 12 lower-case letters and digits"),
  region: z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d$/, "expected a region such as eu-central-1"),
  /** Left out: the account of the credentials that deploy. */
  account: z
    .string()
    .regex(/^\d{12}$/, "expected the 12 digits of an account")
    .optional(),
  /** The domain that the hosts are named in: `api.<domain>` and `smtp.<domain>`. */
  domain,
  /** The mail configuration, from the folder of the record. */
  config: z.string().default("zonefleet.config.ts"),
  api: z
    .strictObject({
      /** A certificate for `api.<domain>` in the region: then that name is the API's. Left out: the name AWS gives it. */
      certificateArn: arn.optional(),
      /** Requests a second that are let in on average, and at once. */
      rateLimit: z.int().min(1).default(200),
      burstLimit: z.int().min(1).default(400),
    })
    .prefault({}),
  vpc: z
    .union([z.literal("new"), ExistingVpc], {
      error: 'expected "new", or id, cidr, availabilityZones and publicSubnetIds of a network that is there',
    })
    .default("new"),
  /** The table to work on after a restore (docs/deploy.md), with its stream. `zonefleet-<environment>` stays, and is used no more. */
  restoredTable: z.strictObject({ name: z.string().regex(/^[\w.-]{3,255}$/), streamArn: arn }).optional(),
  senders: z
    .strictObject({
      instanceType: z
        .string()
        .regex(INSTANCE_TYPE, "expected an instance type such as c7g.medium")
        .default("c7g.medium"),
      min: z.int().min(1).default(2),
      max: z.int().min(1).default(4),
      /** How many Elastic IPs one host can hold: private addresses of its network interface, without the first. */
      addressesPerHost: z.int().min(1).max(29).default(3),
    })
    .prefault({})
    .refine(({ min, max }) => min <= max, "min is more than max"),
  /** Who may connect to the load balancer for SMTP. Left out: everybody; nobody sends without a login. */
  smtpClients: z.array(z.cidrv4()).min(1).default(["0.0.0.0/0"]),
  /** Who is written to when an alarm goes off. */
  alarmEmail: z.email(),
});

/** What lies in a region has to lie in that of the deployment. */
const DeploymentSchema = Fields.superRefine(({ region, vpc, api }, found) => {
  const elsewhere = vpc === "new" ? [] : vpc.availabilityZones.filter((zone) => !zone.startsWith(region));
  if (elsewhere.length > 0)
    found.addIssue({
      code: "custom",
      path: ["vpc", "availabilityZones"],
      message: `${elsewhere.join(", ")}: not in ${region}`,
    });
  const { certificateArn } = api;
  if (certificateArn !== undefined && certificateArn.split(":")[3] !== region)
    found.addIssue({
      code: "custom",
      path: ["api", "certificateArn"],
      message: `expected a certificate in ${region}`,
    });
});

export type DeploymentInput = z.input<typeof DeploymentSchema>;
export type Deployment = z.output<typeof DeploymentSchema>;

/** Types what is written in `zonefleet.deployment.ts`. */
export function defineDeployment(deployment: DeploymentInput): DeploymentInput {
  return deployment;
}

/** The record, and the configuration file that it names. Throws a `DomainError` that says what is wrong with the record. */
export async function loadDeployment(file: string): Promise<{ deployment: Deployment; configFile: string }> {
  const deployment = parseDeployment(await readRecord(file), file);
  return { deployment, configFile: resolve(dirname(file), deployment.config) };
}

async function readRecord(file: string): Promise<unknown> {
  try {
    const exported = (await import(pathToFileURL(file).href)) as { default?: unknown };
    return exported.default;
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new DomainError("invalid-config", `${file} cannot be read: ${detail}`);
  }
}

/** Throws a `DomainError` that names each field that is wrong; `source` is where it was written. */
export function parseDeployment(written: unknown, source: string): Deployment {
  const parsed = DeploymentSchema.safeParse(written);
  if (!parsed.success)
    throw new DomainError("invalid-config", `${source} is not right:\n${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
