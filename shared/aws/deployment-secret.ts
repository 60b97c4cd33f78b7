/**
 * The one secret of a deployment (ZONEFLEET_SECRET; app/secret-document.ts) as a process uses it: to seal, and to put secrets back
 * into a configuration. It is read at first use and remembered for some minutes. While it cannot be read again, what was read is used.
 */

import { hkdfSync } from "node:crypto";

import { readDocument } from "../app/secret-document.ts";
import type { SecretDocument } from "../app/secret-document.ts";
import { aesSealer, SEAL_KEY_BYTES } from "../app/sealer.ts";
import type { Sealer } from "../app/sealer.ts";
import type { Clock } from "../domain/clock.ts";
import type { Config } from "../domain/config.ts";
import { joinSecrets } from "../domain/config-secrets.ts";
import type { ConfigSecrets } from "../domain/config-secrets.ts";
import { DomainError } from "../domain/errors.ts";
import type { EpochMs } from "../domain/units.ts";
import { later, MINUTE, SECOND } from "../domain/units.ts";
import type { Sealing } from "../ports/sealing.ts";
import type { SecretText } from "../ports/secret-text.ts";

export interface DeploymentSecret {
  readonly sealing: Sealing;
  /** The configuration of a deployment with its secrets. Rejects with a `DomainError` that says what to do when some are missing. */
  whole(config: Config): Promise<Config>;
}

/** How long what was read is good. */
export const KEEP_MS = 5 * MINUTE;
/** From one read to the next in any case: something that no key opens must not make a call each time. */
export const READ_AGAIN_MS = 10 * SECOND;

export function deploymentSecret(text: SecretText, { clock }: { clock: Clock }): DeploymentSecret {
  const remembered = documentReader(text, clock);

  async function sealerOf({ again }: { again: boolean }): Promise<Sealer> {
    const { sealKey } = await remembered(again);
    if (sealKey === undefined)
      throw new DomainError(
        "invalid-config",
        `the secret ${text.name} has no sealKey: npx zonefleet secrets push makes one`,
      );
    return aesSealer(sealKeyOf(sealKey));
  }

  return {
    sealing: {
      seal: async (value, place) => (await sealerOf({ again: false })).seal(value, place),
      async open(sealed, place) {
        const sealer = await sealerOf({ again: false });
        try {
          return sealer.open(sealed, place);
        } catch {
          return (await sealerOf({ again: true })).open(sealed, place); // the key may have been put there since it was read
        }
      },
    },
    async whole(config) {
      const joined = joinedBy(config, await remembered(false));
      if (joined.kind === "joined") return joined.config;
      const again = joinedBy(config, await remembered(true));
      if (again.kind === "joined") return again.config;
      throw missing(text.name, again.names);
    },
  };
}

/** For a process that was given no secret: says so where one is needed. */
export const noDeploymentSecret: DeploymentSecret = {
  sealing: { seal: () => Promise.reject(notNamed()), open: () => Promise.reject(notNamed()) },
  whole(config) {
    const joined = joinSecrets(config, new Map());
    return joined.kind === "joined" ? Promise.resolve(joined.config) : Promise.reject(notNamed());
  },
};

function joinedBy(config: Config, document: SecretDocument): ReturnType<typeof joinSecrets> {
  const secrets: ConfigSecrets = new Map(Object.entries(document.config));
  return joinSecrets(config, secrets);
}

/** `again`: what is remembered does not do. */
type ReadDocument = (again: boolean) => Promise<SecretDocument>;

function documentReader(text: SecretText, clock: Clock): ReadDocument {
  let last: { readonly document: SecretDocument; readonly at: EpochMs } | null = null;
  let failed: { readonly error: unknown; readonly at: EpochMs } | null = null;
  let reading: Promise<SecretDocument> | null = null;

  async function read(): Promise<SecretDocument> {
    try {
      last = { document: readDocument(await text.read(), text.name), at: clock.now() };
      failed = null;
      return last.document;
    } catch (error) {
      failed = { error, at: clock.now() };
      if (last) return last.document;
      throw error;
    }
  }

  return async (again) => {
    const age = last ? clock.now() - last.at : Number.POSITIVE_INFINITY;
    if (last && age < (again ? READ_AGAIN_MS : KEEP_MS)) return last.document;
    if (failed && clock.now() < later(failed.at, READ_AGAIN_MS)) {
      if (last) return last.document;
      throw failed.error;
    }
    reading ??= read().finally(() => (reading = null));
    return reading;
  };
}

function sealKeyOf(text: string): Buffer {
  return Buffer.from(hkdfSync("sha256", text, "", "zonefleet seal key", SEAL_KEY_BYTES));
}

function missing(name: string, names: readonly string[]): DomainError {
  const list = names.join(", ");
  return new DomainError(
    "invalid-config",
    `the secret ${name} lacks ${list}: npx zonefleet secrets push, where the configuration is, puts it there`,
  );
}

function notNamed(): DomainError {
  const text =
    "ZONEFLEET_SECRET is not set: it names the AWS secret with the key that secrets are sealed with, and with those of the configuration";
  return new DomainError("invalid-config", text);
}
