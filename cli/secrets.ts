/** `zonefleet secrets`: what is secret in the configuration goes into the one secret of a deployment on AWS. No value is ever printed. */

import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";

import type { Push } from "#shared/app/secret-document.ts";
import { comparePush, printDocument, pushed, readDocument } from "#shared/app/secret-document.ts";
import type { ConfigSecrets } from "#shared/domain/config-secrets.ts";
import { splitSecrets } from "#shared/domain/config-secrets.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { SecretText } from "#shared/ports/secret-text.ts";

import type { Command, Terminal } from "./command.ts";
import { noSuchAction, refuseMore, UsageError } from "./command.ts";

const usage = `  zonefleet secrets                  which secrets of the configuration the AWS secret ZONEFLEET_SECRET has,
                                     and which push would write
  zonefleet secrets push [--prune]   write them; with --prune take out those that the configuration has no use for`;

export const secretsCommand: Command = {
  usage,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { prune: { type: "boolean" } },
      allowPositionals: true,
    });
    const [action, ...more] = positionals;
    refuseMore(more);
    if (action !== undefined && action !== "push") throw noSuchAction("secrets", action);
    if (action === undefined && values.prune === true) throw new UsageError("--prune goes with push only");
    const { config, secret } = await terminal.deployment();
    const { secrets } = splitSecrets(config);
    if (action === undefined) return show(secrets, secret, terminal);
    if (secret === null)
      throw new DomainError("invalid-config", "set ZONEFLEET_SECRET to the name of the deployment's secret");
    return push(secrets, secret, { prune: values.prune === true, terminal });
  },
};

async function show(secrets: ConfigSecrets, secret: SecretText | null, { print }: Terminal): Promise<void> {
  if (secret === null) {
    for (const name of secrets.keys()) print(`secret     ${name}`);
    print(`${secrets.size} secrets in the configuration; ZONEFLEET_SECRET says where push would write them.`);
    return;
  }
  const compared = comparePush(readDocument(await secret.read(), secret.name), secrets);
  const { added, changed, same, left } = compared;
  for (const name of added) print(`to add     ${name}`);
  for (const name of changed) print(`to change  ${name}`);
  for (const name of same) print(`same       ${name}`);
  for (const name of left) print(`to leave   ${name} (the configuration has no use for it)`);
  print(isNothing(compared) ? `${secret.name} has them all.` : "zonefleet secrets push writes them.");
}

async function push(
  secrets: ConfigSecrets,
  secret: SecretText,
  { prune, terminal: { print } }: { prune: boolean; terminal: Terminal },
): Promise<void> {
  const document = readDocument(await secret.read(), secret.name);
  const compared = comparePush(document, secrets);
  const { added, changed, left } = compared;
  const removed = prune ? left : [];
  const makesKey = document.sealKey === undefined;
  if (isNothing(compared) && removed.length === 0 && !makesKey) {
    print(`${secret.name} has them all: nothing was written.`);
    return;
  }
  await secret.write(printDocument(pushed(document, secrets, { prune, random: randomBytes })));
  if (makesKey) print("made       sealKey");
  for (const name of added) print(`added      ${name}`);
  for (const name of changed) print(`changed    ${name}`);
  for (const name of removed) print(`removed    ${name}`);
  print(
    `Written to ${secret.name}. Senders use it after a reload (SIGHUP) or a start, Lambdas within five minutes.`,
  );
}

function isNothing({ added, changed }: Push): boolean {
  return added.length + changed.length === 0;
}
