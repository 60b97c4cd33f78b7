/**
 * One secret of AWS Secrets Manager, as text. For local runs it may be a file, whose `file:` URL is its name: it stands in for the
 * service, and lies where nobody else can read.
 */

import { readFile, rename, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import {
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from "@aws-sdk/client-secrets-manager";

import { DomainError } from "../domain/errors.ts";
import { KIB, SECOND } from "../domain/units.ts";
import type { SecretText } from "../ports/secret-text.ts";
import { hasName } from "./aws-errors.ts";
import { clientSettings, endpointOf } from "./clients.ts";

/** What the service takes. */
export const MAX_SECRET_BYTES = 64 * KIB;

const ANSWER_MS = 5 * SECOND;
/** A call with all its tries. */
const CALL_MS = 12 * SECOND;

/** `name`: name or ARN of the secret, or the URL of a file. Nothing is asked before it is read. */
export function secretText(name: string, env: Readonly<Record<string, string | undefined>>): SecretText {
  const text = name.startsWith("file:") ? fileSecret(name) : managedSecret(name, env);
  return {
    ...text,
    async write(value) {
      if (Buffer.byteLength(value) > MAX_SECRET_BYTES) throw tooLarge(Buffer.byteLength(value));
      await text.write(value);
    },
  };
}

function managedSecret(name: string, env: Readonly<Record<string, string | undefined>>): SecretText {
  let client: SecretsManagerClient | null = null;
  const connected = (): SecretsManagerClient =>
    (client ??= new SecretsManagerClient(
      clientSettings({}, endpointOf(env, "SECRETS_MANAGER"), { answerMs: ANSWER_MS }),
    ));
  return {
    name,
    async read() {
      try {
        const abortSignal = AbortSignal.timeout(CALL_MS);
        const { SecretString } = await connected().send(new GetSecretValueCommand({ SecretId: name }), {
          abortSignal,
        });
        return SecretString ?? "";
      } catch (error) {
        if (hasName(error, "ResourceNotFoundException")) throw notThere(name);
        throw error;
      }
    },
    async write(value) {
      const abortSignal = AbortSignal.timeout(CALL_MS);
      const command = new PutSecretValueCommand({ SecretId: name, SecretString: value });
      await connected().send(command, { abortSignal });
    },
  };
}

function fileSecret(name: string): SecretText {
  const path = fileURLToPath(name);
  return {
    name,
    async read() {
      try {
        return await readFile(path, "utf8");
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") throw notThere(name);
        throw error;
      }
    },
    async write(value) {
      const unfinished = `${path}.${process.pid}.new`;
      await writeFile(unfinished, value, { mode: 0o600 });
      await rename(unfinished, path);
    },
  };
}

function notThere(name: string): DomainError {
  const text = `there is no secret ${name} (ZONEFLEET_SECRET), or nothing is in it: the stacks make it, with its seal key`;
  return new DomainError("invalid-config", text);
}

function tooLarge(bytes: number): DomainError {
  const text = `the secret would have ${bytes} bytes, and AWS Secrets Manager takes ${MAX_SECRET_BYTES}`;
  return new DomainError("too-large", text);
}
