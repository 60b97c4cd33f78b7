/** `zonefleet systemd`: a hardened unit for the folder where it is called, with the settings of this environment. */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { DomainError } from "#shared/domain/errors.ts";

import type { Command, Terminal } from "./command.ts";
import { UsageError } from "./command.ts";

const usage = `  zonefleet systemd [--user <name>]  print a systemd unit that runs ZoneFleet in this folder`;

const DEFAULT_USER = "zonefleet";
const USER_NAME = /^[a-z_][a-z0-9_-]{0,31}$/;

/** Settings that go into the unit when the environment has them. What is a secret does not: a unit can be read by everybody. */
const CARRIED = [
  "ZONEFLEET_CONFIG",
  "ZONEFLEET_BACKEND",
  "ZONEFLEET_PROCESSES",
  "ZONEFLEET_TABLE",
  "ZONEFLEET_BUCKET",
  "ZONEFLEET_QUEUE_PREFIX",
  "ZONEFLEET_SECRET", // its name
  "ZONEFLEET_INSTALLATION",
  "AWS_REGION",
  "AWS_ENDPOINT_URL",
  "LOG_LEVEL",
];

export const systemdCommand: Command = {
  usage,
  async run(args, terminal) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { user: { type: "string", default: DEFAULT_USER } },
      allowPositionals: true,
    });
    if (positionals.length > 0) throw new UsageError("the unit is for the folder where this is called");
    if (!USER_NAME.test(values.user))
      throw new UsageError(`${JSON.stringify(values.user)} is not the name of a user`);
    terminal.print(systemdUnit({ ...here(terminal), user: values.user }));
    return Promise.resolve();
  },
};

function here({ env }: Terminal): Omit<UnitOptions, "user"> {
  const folder = process.cwd();
  const set = CARRIED.flatMap((name) => {
    const value = env(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    folder,
    node: process.execPath,
    main: senderMain(import.meta.dirname),
    dataDir: resolve(folder, env("ZONEFLEET_DATA") ?? "data"),
    environment: Object.fromEntries(set),
  };
}

/** In a bundle the sender lies beside this file. */
function senderMain(folder: string): string {
  const bundled = join(folder, "main.mjs");
  return existsSync(bundled) ? bundled : join(folder, "..", "sender", "main.ts");
}

export interface UnitOptions {
  /** Where it runs: the configuration file is looked for here. */
  readonly folder: string;
  readonly node: string;
  readonly main: string;
  readonly dataDir: string;
  readonly user: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** A drain takes 30 seconds at most (sender/supervisor.ts); what has not ended by then is killed. */
const STOP_TIMEOUT_S = 40;

export function systemdUnit({ folder, node, main, dataDir, user, environment }: UnitOptions): string {
  const settings = { NODE_ENV: "production", ZONEFLEET_DATA: dataDir, ...environment };
  const home = [folder, node, main, dataDir].some(isBelowHome) ? "read-only" : "yes";
  return `# ZoneFleet as a service. Once, as root:
#
#   useradd --system --user-group --home-dir ${shellWord(dataDir)} --shell /usr/sbin/nologin ${user}
#   install -d -o ${user} -g ${user} -m 700 ${shellWord(dataDir)}
#   npx zonefleet systemd > /etc/systemd/system/zonefleet.service
#   systemctl daemon-reload && systemctl enable --now zonefleet
#
# The user needs to read the folder of the configuration and the keys named in it; it writes only to its data folder.
# Commands that write to the data folder (accounts, keys) are run as this user or as root, with ZONEFLEET_DATA set as below.

[Unit]
Description=ZoneFleet outbound mail
Wants=network-online.target
After=network-online.target
# Restarts do not give up: mail waits in the queue.
StartLimitIntervalSec=0

[Service]
Type=exec
User=${user}
Group=${user}
WorkingDirectory=${specifiers(folder)}
${Object.entries(settings)
  .map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`)
  .join("\n")}
ExecStart=${commandWord(node)} ${commandWord(main)}
# Reads configuration and rules again; a broken configuration is refused and the old one stays.
ExecReload=/bin/kill -HUP $MAINPID
# The supervisor has its workers finish what they are sending. Only what is left after the timeout is killed.
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec=${STOP_TIMEOUT_S}
Restart=always
RestartSec=2
# A connection is a file descriptor.
LimitNOFILE=65536
UMask=0077

# Ports under 1024, and nothing else that is root's.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=${quoted(dataDir)}
ProtectHome=${home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
# AF_NETLINK: Node asks it for the addresses of this machine. AF_UNIX: supervisor and workers talk over it.
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
# MemoryDenyWriteExecute is not set: V8 compiles at run time.

[Install]
WantedBy=multi-user.target`;
}

function isBelowHome(path: string): boolean {
  return /^\/(home|root|run\/user)(\/|$)/.test(path);
}

/** `%` starts a specifier everywhere in a unit; a line ends the setting. */
function specifiers(text: string): string {
  if (/\p{Cc}/u.test(text))
    throw new DomainError("invalid-config", `${JSON.stringify(text)} cannot be written in a unit`);
  return text.replaceAll("%", "%%");
}

function quoted(text: string): string {
  return `"${specifiers(text).replaceAll(/["\\]/g, String.raw`\$&`)}"`;
}

/** In a command `$` starts a variable. */
function commandWord(text: string): string {
  return quoted(text.replaceAll("$", "$$$$"));
}

/** For the commands in the comments, which people paste. */
function shellWord(text: string): string {
  const shown = specifiers(text).replaceAll("%%", "%"); // a comment has no specifiers
  return /^[\w@%+=:,./-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", String.raw`'\''`)}'`;
}
