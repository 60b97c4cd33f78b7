/** Configurations as tests of the parser write them: what becomes of one, and the lines it is refused with. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { DomainError } from "#shared/domain/errors.ts";
import type { Zone, ZoneName } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/define-config.ts";

/** The file that configurations of tests pretend to be. */
export const here = { source: "zonefleet.config.ts", baseDir: tmpdir() };

export const parse = (input: ConfigInput) => parseConfig(input, here);

export const zone = (input: ConfigInput, name: string) => parse(input).zones.get(name as ZoneName) as Zone;

/** The lines that a configuration is refused with, without the name of its file. */
export function refusal(input: unknown): string[] {
  try {
    parseConfig(input, here);
  } catch (error) {
    assert.ok(error instanceof DomainError, String(error));
    assert.equal(error.code, "invalid-config");
    const [first = "", ...rest] = error.message.split("\n");
    return rest.length > 0 ? rest.map((line) => line.trim()) : [first.replace(`${here.source}: `, "")];
  }
  throw new Error("was not refused");
}

/** An empty folder for configuration files, which goes with its test. */
export async function configFolder(t: { after: (clean: () => Promise<void>) => void }): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "zonefleet-config-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}
