/** What the person at the screen is told when all workers listen: what there is, where, and how a first mail is sent. */

import { join, relative } from "node:path";

import type { Config } from "#shared/domain/config.ts";
import type { Settings } from "#shared/runtime/config.ts";
import type { Listening } from "./worker-protocol.ts";

/** In the data folder: what the sandbox receiver took, as .eml files. */
export const SANDBOX_FOLDER = "sandbox";

export interface FrontDoorElsewhere {
  readonly address: string;
  readonly port: number;
  /** For the first mail of the person at the screen. */
  readonly apiKey: string;
}

export interface Scene {
  readonly listens: readonly Listening[];
  readonly frontDoor: FrontDoorElsewhere | null;
  readonly cwd: string;
}

export function greeting(settings: Settings, { listens, frontDoor, cwd }: Scene): string {
  const { config, processes, source } = settings;
  const elsewhere: Listening[] = frontDoor ? [{ kind: "http", name: "api, Lambdas", ...frontDoor }] : [];
  const doors = [...listens, ...elsewhere];
  const lines = [
    `${config.name} runs as ${config.hostname} (process ${process.pid}).`,
    "",
    ...doors.map(
      (of) => `  ${of.kind.toUpperCase().padEnd(9)} ${printed(of.address, of.port)}  (${of.name})`,
    ),
    ...store(settings, cwd),
    `  config    ${source === null ? "built-in defaults; write zonefleet.config.ts to change them" : short(source, cwd)}`,
    `  workers   ${processes} (ZONEFLEET_PROCESSES)`,
  ];
  if (config.sandbox.enabled) {
    const folder = short(join(settings.dataDir, SANDBOX_FOLDER), cwd);
    lines.push(`  sandbox   mail for example.com, *.test and the other reserved names ends in ${folder}`);
  }
  return [...lines, "", ...firstMail(config, doors, frontDoor), "Ctrl-C stops it.", ""].join("\n");
}

function store({ aws, backend, dataDir }: Settings, cwd: string): string[] {
  const folder = short(dataDir, cwd);
  if (aws === null) return [`  data      ${folder} (${backend} store)`];
  const { table, bucket, queuePrefix, endpointUrl } = aws;
  return [
    `  store     table ${table}, bucket ${bucket}, queues ${queuePrefix}<zone>${endpointUrl === null ? "" : ` at ${endpointUrl}`}`,
    `  data      ${folder} (locks and compiled sources; no mail)`,
  ];
}

/** To the sandbox where there is one: else the names that it stands for lead nowhere, and the mail would come back. */
function firstMail(
  { sandbox, hostname }: Config,
  doors: readonly Listening[],
  frontDoor: FrontDoorElsewhere | null,
): string[] {
  const [from, to] = sandbox.enabled
    ? ["me@example.com", "you@example.com"]
    : [`me@${hostname}`, "YOUR@OWN.ADDRESS"];
  const http = doors.find(({ kind }) => kind === "http");
  if (http) {
    const mail = JSON.stringify({ from, to, subject: "Hello", text: "It works." });
    const key = frontDoor ? ` -H 'authorization: Bearer ${frontDoor.apiKey}'` : "";
    const command = `curl http://${at(http)}/send${key} -H 'content-type: application/json' -d '${mail}'`;
    return ["Send a first mail:", "", `  ${command}`, ""];
  }
  const smtp = doors.find(({ kind }) => kind === "smtp");
  return smtp ? ["Send a first mail:", "", `  swaks --server ${at(smtp)} --from ${from} --to ${to}`, ""] : [];
}

/** As a client on this machine says it: what listens on all addresses listens on loopback too. */
function at({ address, port }: Listening): string {
  return printed(address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address, port);
}

function printed(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function short(path: string, cwd: string): string {
  const inside = relative(cwd, path);
  return inside === "" || inside.startsWith("..") ? path : `./${inside}`;
}
