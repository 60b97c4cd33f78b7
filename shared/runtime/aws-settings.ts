/**
 * What an installation is called on AWS, from the environment: set by its stacks, or left at these defaults with local servers.
 * Region and credentials are not here: the SDK finds them by itself, on the host or in AWS_REGION and the like.
 */

import { configError } from "./config-errors.ts";
import type { Env } from "./env.ts";
import { valueOf } from "./env.ts";

export interface AwsSettings {
  readonly table: string;
  readonly bucket: string;
  /** Put before the name of each zone's queue. */
  readonly queuePrefix: string;
  /** Name or ARN of the secret with the seal key and those of the configuration; null: there is none, and nothing needs one. */
  readonly secret: string | null;
  /** What tags of Elastic IPs and the Auto Scaling group of this host say; null: this is no host of a deployment. */
  readonly installation: string | null;
  /** Where all services are, instead of each one's own endpoint in the region; null: there. */
  readonly endpointUrl: string | null;
}

/** Names that AWS refuses would only be refused at the first mail. */
const TABLE = /^[a-zA-Z0-9_.-]{3,255}$/;
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** SQS takes names of 80, of which a zone's name may have 48 and that of its dead letters 5. */
const QUEUE_PREFIX = /^[a-zA-Z0-9_-]{1,27}$/;
/** A name, an ARN, or with local servers the URL of a file that stands in for it. */
const SECRET = /^(file:\/\/\/.{1,500}|arn:aws[a-z-]*:secretsmanager:.{1,2000}|[a-zA-Z0-9/_+=.@-]{1,512})$/;
/** Name of an Auto Scaling group, and value of a tag. */
const INSTALLATION = /^[a-zA-Z0-9_.-]{1,255}$/;

/** Throws a `DomainError` that names the variable. */
export function awsSettingsOf(env: Env): AwsSettings {
  return {
    table: named(env, "ZONEFLEET_TABLE", {
      fallback: "zonefleet",
      shape: TABLE,
      words: "3 to 255 letters, digits and _ . -",
    }),
    bucket: named(env, "ZONEFLEET_BUCKET", {
      fallback: "zonefleet-mail",
      shape: BUCKET,
      words: "3 to 63 lower-case letters, digits and . -",
    }),
    queuePrefix: named(env, "ZONEFLEET_QUEUE_PREFIX", {
      fallback: "zonefleet-",
      shape: QUEUE_PREFIX,
      words: "1 to 27 letters, digits and _ -",
    }),
    secret: secretOf(env),
    installation: installationOf(env),
    endpointUrl: endpointOf(env),
  };
}

function named(
  env: Env,
  name: string,
  { fallback, shape, words }: { fallback: string; shape: RegExp; words: string },
): string {
  const text = valueOf(env, name) ?? fallback;
  if (shape.test(text)) return text;
  throw refused(name, `expected ${words}, found ${JSON.stringify(text)}`);
}

function secretOf(env: Env): string | null {
  const name = "ZONEFLEET_SECRET";
  const text = valueOf(env, name);
  if (text === null || SECRET.test(text)) return text;
  // not shown: somebody may have put the secret itself there
  throw refused(name, "expected the name or the ARN of a secret in AWS Secrets Manager");
}

function installationOf(env: Env): string | null {
  const name = "ZONEFLEET_INSTALLATION";
  const text = valueOf(env, name);
  if (text === null || INSTALLATION.test(text)) return text;
  throw refused(name, `expected 1 to 255 letters, digits and _ . -, found ${JSON.stringify(text)}`);
}

function endpointOf(env: Env): string | null {
  const name = "AWS_ENDPOINT_URL";
  const text = valueOf(env, name);
  if (text === null || /^https?:\/\/[^/]/.test(text)) return text;
  throw refused(name, `expected a URL such as http://127.0.0.1:4566, found ${JSON.stringify(text)}`);
}

function refused(name: string, message: string): Error {
  return configError(name, [{ path: [], message }]);
}
