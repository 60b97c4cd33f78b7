/**
 * The first boot of a host, in a folder that stands in for its disk: the real script and the real bundle, with stand-ins for what only
 * a host has (packages, metadata, EC2, systemd). They keep their state in files, so a second boot finds what the first has left.
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { bundleSender, SENDER_CONFIG_FILE } from "../../sender/bundle.ts";

const SCRIPT = join(import.meta.dirname, "../../infra/sender-boot.sh");
const TIMEOUT_MS = 60 * SECOND;
const OWN_ADDRESS = "10.25.0.10";
const MAC = "0A:11:22:33:44:55";

/** `$STATE` is a folder; every call is a line of `$STATE/calls`. */
const STAND_INS: Readonly<Record<string, string>> = {
  curl: `case "\${@: -1}" in
    */api/token) echo -n token ;;
    *) [[ "$*" == *"X-aws-ec2-metadata-token: token"* ]] || exit 22
      case "\${@: -1}" in
        */mac) echo -n ${MAC.toLowerCase()} ;;
        */interface-id) echo -n eni-1 ;;
        */local-ipv4s) printf %s "$(<"$STATE/private")" ;;
        *) exit 22 ;;
      esac ;;
  esac`,
  aws: `for ((i = 0; i < \${@: -1}; i++)); do echo "10.25.0.$((20 + i))" >>"$STATE/private"; done`,
  ip: `case "$*" in
    "-o link") echo "1: lo: <UP> link/loopback 00:00:00:00:00:00"; echo "2: ens5: <UP> link/ether ${MAC.toLowerCase()} brd ff" ;;
    "-o address show dev ens5") sed 's|.*|2: ens5 inet &/32 scope global|' "$STATE/on-interface" ;;
    "address add "*) echo "\${3%/32}" >>"$STATE/on-interface" ;;
    *) exit 2 ;;
  esac`,
  id: `[[ -e "$STATE/user" ]]`,
  useradd: `touch "$STATE/user"`,
  systemctl: `[[ "$1" != is-active ]] || [[ ! -e "$STATE/sender-fails" ]]`,
  journalctl: `echo "what the sender said"`,
  dnf: `[[ -s "$STATE/dnf-failures" ]] || exit 0; sed -i 1d "$STATE/dnf-failures"; exit 1`,
  sleep: "",
  // The user of the service is not one of this machine.
  install: `args=()
  while (($# > 0)); do
    case "$1" in
      -o | -g) shift 2 ;;
      *) args+=("$1"); shift ;;
    esac
  done
  exec /usr/bin/install "\${args[@]}"`,
};

describe("the first boot of a sender host", { timeout: TIMEOUT_MS }, () => {
  let bundle: string;
  before(async () => {
    bundle = await mkdtemp(join(tmpdir(), "zonefleet-bundle-"));
    const config = parseConfig({ hostname: "mail.example.com" }, { source: null, baseDir: "/" });
    await bundleSender({ outDir: bundle, config });
  });
  after(() => rm(bundle, { recursive: true, force: true }));

  test("leaves the unit of the bundled sender, with the names of its installation and nothing that is a secret", async () => {
    await using host = await newHost(bundle);
    const { code, said } = await host.boot();
    assert.equal(code, 0, said);
    const unit = await host.read("/etc/systemd/system/zonefleet.service");
    for (const line of [
      "User=zonefleet",
      `WorkingDirectory=${host.path("/opt/zonefleet")}`,
      `ReadWritePaths="${host.path("/var/lib/zonefleet")}"`,
      'Environment="ZONEFLEET_BACKEND=aws"',
      `Environment="ZONEFLEET_CONFIG=${host.path(`/opt/zonefleet/${SENDER_CONFIG_FILE}`)}"`,
      'Environment="ZONEFLEET_TABLE=zonefleet-test"',
      'Environment="ZONEFLEET_BUCKET=zonefleet-test-1"',
      'Environment="ZONEFLEET_QUEUE_PREFIX=zonefleet-test-"',
      'Environment="ZONEFLEET_SECRET=zonefleet-test"',
      'Environment="ZONEFLEET_INSTALLATION=zonefleet-test"',
      'Environment="AWS_REGION=eu-central-1"',
    ])
      assert.ok(unit.split("\n").includes(line), `${line}\n${unit}`);
    const [, main = ""] = /^ExecStart=".*" "(.*)"$/m.exec(unit) ?? [];
    assert.equal(main, host.path("/opt/zonefleet/main.mjs"));
    const calls = await host.calls();
    assert.ok(calls.includes("systemctl enable --now zonefleet"), calls.join("\n"));
  });

  test("gets a private address for each Elastic IP that it may hold, and has them on its interface at once", async () => {
    await using host = await newHost(bundle);
    const { code, said } = await host.boot();
    assert.equal(code, 0, said);
    const asked = (await host.calls()).filter((call) => call.startsWith("aws "));
    assert.deepEqual(asked, [
      "aws ec2 assign-private-ip-addresses --network-interface-id eni-1 --secondary-private-ip-address-count 3",
    ]);
    const there = (await host.read("/state/on-interface")).trim().split("\n");
    assert.deepEqual(there, [OWN_ADDRESS, "10.25.0.20", "10.25.0.21", "10.25.0.22"]);
  });

  test("does nothing twice when it is run again", async () => {
    await using host = await newHost(bundle);
    await host.boot();
    const once = await host.calls();
    const { code, said } = await host.boot();
    assert.equal(code, 0, said);
    const twice = (await host.calls()).slice(once.length);
    const changes = /^(aws|useradd|ip address add)/;
    assert.ok(once.some((call) => changes.test(call)));
    assert.deepEqual(
      twice.filter((call) => changes.test(call)),
      [],
    );
  });

  test("tries packages again that could not be had", async () => {
    await using host = await newHost(bundle, { "dnf-failures": "1\n2\n" });
    const { code, said } = await host.boot();
    assert.equal(code, 0, said);
    assert.equal((await host.calls()).filter((call) => call.startsWith("dnf ")).length, 3);
  });

  test("fails, and shows why, when the sender does not stay up: then a deployment goes no further", async () => {
    await using host = await newHost(bundle, { "sender-fails": "" });
    const { code, said } = await host.boot();
    assert.equal(code, 1);
    assert.match(said, /what the sender said/);
  });
});

test("the script is one that bash can read", () => {
  const { status, stderr } = spawnSync("bash", ["-n", SCRIPT], { encoding: "utf8", timeout: TIMEOUT_MS });
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

interface Host extends AsyncDisposable {
  /** Where a file of the host is here. */
  path(file: string): string;
  read(file: string): Promise<string>;
  /** Resolves with its exit code and all it has said. */
  boot(): Promise<{ code: number; said: string }>;
  /** Calls of what is stood in for, in order. */
  calls(): Promise<string[]>;
}

async function newHost(bundle: string, state: Readonly<Record<string, string>> = {}): Promise<Host> {
  const root = await mkdtemp(join(tmpdir(), "zonefleet-host-"));
  const path = (file: string): string => join(root, file);
  const files: Record<string, string> = {
    "/state/private": `${OWN_ADDRESS}\n`,
    "/state/on-interface": `${OWN_ADDRESS}\n`,
    "/state/calls": "",
    "/etc/zonefleet.env": SETTINGS.replaceAll("ROOT", root),
    "/boot.sh": onThisDisk(await readFile(SCRIPT, "utf8"), root),
  };
  for (const [name, text] of Object.entries(state)) files[`/state/${name}`] = text;
  for (const folder of ["/etc/systemd/system", "/etc/logrotate.d", "/opt/aws/amazon-cloudwatch-agent/etc"])
    await mkdir(path(folder), { recursive: true });
  for (const [file, text] of Object.entries(files)) await write(path(file), text);
  for (const [name, body] of Object.entries(STAND_INS)) await writeProgram(path(`/stand-ins/${name}`), body);
  await writeProgram(path("/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"), "");
  await cp(bundle, path("/opt/zonefleet"), { recursive: true });
  await mkdir(path("/usr/bin"), { recursive: true });
  await symlink(process.execPath, path("/usr/bin/node-24"));
  return {
    path,
    read: (file) => readFile(path(file), "utf8"),
    async boot() {
      const PATH = `${path("/stand-ins")}:/usr/sbin:/usr/bin:/sbin:/bin`;
      const child = spawn("bash", [path("/boot.sh")], {
        env: { PATH, STATE: path("/state") },
        timeout: TIMEOUT_MS,
      });
      let said = "";
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (chunk) => (said += String(chunk)));
      const [code] = (await once(child, "close")) as [number];
      return { code, said };
    },
    calls: async () => (await readFile(path("/state/calls"), "utf8")).trim().split("\n"),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

const SETTINGS = `AWS_REGION=eu-central-1
ZONEFLEET_BACKEND=aws
ZONEFLEET_CONFIG=ROOT/opt/zonefleet/${SENDER_CONFIG_FILE}
ZONEFLEET_DATA=ROOT/var/lib/zonefleet
ZONEFLEET_TABLE=zonefleet-test
ZONEFLEET_BUCKET=zonefleet-test-1
ZONEFLEET_QUEUE_PREFIX=zonefleet-test-
ZONEFLEET_SECRET=zonefleet-test
ZONEFLEET_INSTALLATION=zonefleet-test
ZONEFLEET_ADDRESSES=3
ZONEFLEET_LOG_GROUP=/zonefleet/test/sender
`;

/** The script, with the paths that it writes to below `root`. */
function onThisDisk(script: string, root: string): string {
  return script.replaceAll(/(?<=[ =>(])\/(?=etc\/|opt\/|var\/|usr\/bin\/node-24)/g, `${root}/`);
}

async function write(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

async function writeProgram(file: string, body: string): Promise<void> {
  const lines = ["#!/bin/bash", `echo "${basename(file)} $*" >>"$STATE/calls"`, body];
  await write(file, `${lines.join("\n")}\n`);
  await chmod(file, 0o755);
}
