/** Checks of this machine: the data folder, its disk, file limits, certificates of SMTP interfaces, and who may use the API. */

import { X509Certificate, createPrivateKey } from "node:crypto";
import { open, readFile, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";

import { isLoopbackHost } from "#shared/app/api-access.ts";
import type { Certificate, Config } from "#shared/domain/config.ts";
import { DAY, MIB, SECOND } from "#shared/domain/units.ts";

import type { Check, Verdict } from "./check.ts";
import { failure, messageOf, ok, skipped, warning } from "./check.ts";

/** Below the second, accepts are soon refused: a reserve is kept for writing outcomes. */
const LOW_DISK_BYTES = 2_048 * MIB;
const NO_DISK_BYTES = 256 * MIB;
/** Files and sockets of a process besides those of mail. */
const OTHER_FILES = 600;
const RENEW_BEFORE_MS = 14 * DAY;
const HEALTH_MS = 5 * SECOND;

export function dataFolderChecks(dataDir: string, config: Config): Check[] {
  return [
    { topic: "data folder", about: dataDir, run: () => checkFolder(dataDir) },
    { topic: "disk", about: dataDir, run: () => checkDisk(dataDir) },
    { topic: "open files", about: "limit", run: () => checkFileLimit(config) },
  ];
}

async function checkFolder(dataDir: string): Promise<Verdict> {
  const folder = await stat(dataDir).catch(() => null);
  if (folder === null)
    return warning(
      "it is not there yet: the first start makes it",
      "Set ZONEFLEET_DATA if the data is elsewhere.",
    );
  const path = join(dataDir, `.doctor-${process.pid}`);
  try {
    await using file = await open(path, "wx", 0o600);
    await file.write("x");
    await file.sync();
  } catch (error) {
    return failure(
      `it cannot be written: ${messageOf(error)}`,
      `Run this as its owner (user ${folder.uid}), or give it to the user that runs ZoneFleet.`,
    );
  } finally {
    await rm(path, { force: true }).catch(() => undefined);
  }
  return ok("it can be written, and what is written is on the disk");
}

async function checkDisk(dataDir: string): Promise<Verdict> {
  const found = await statfs(dataDir).catch(() => null);
  if (found === null) return skipped("it is not there yet", "Run this again after the first start.");
  const free = found.bavail * found.bsize;
  const says = `${Math.floor(free / MIB)} MiB are free`;
  if (free < NO_DISK_BYTES) return failure(`${says}: mail is refused soon`, "Make room on that disk.");
  if (found.files > 0 && found.ffree < 10_000)
    return warning(`${found.ffree} files more fit on it`, "Make room: each mail over 64 KiB is a file.");
  return free < LOW_DISK_BYTES ? warning(says, "Make room on that disk.") : ok(says);
}

/** Node raises its own limit to the highest that it may. */
async function checkFileLimit({ zones, smtpInterfaces }: Config): Promise<Verdict> {
  const limits = await readFile("/proc/self/limits", "utf8").catch(() => "");
  const [, soft] = /^Max open files\s+(\d+)/m.exec(limits) ?? [];
  if (soft === undefined) return skipped("this system does not tell it", "Look at ulimit -n.");
  const clients = smtpInterfaces.reduce((sum, { maxClients }) => sum + maxClients, 0);
  const connections = [...zones.values()].reduce((sum, zone) => sum + zone.connections, 0);
  const wanted = clients + connections + OTHER_FILES;
  const says = `${soft} for a process started here; all clients and connections at once are ${wanted}`;
  if (Number(soft) >= wanted) return ok(says);
  return warning(
    says,
    "Raise it (ulimit -n); the unit that `npx zonefleet systemd` prints has LimitNOFILE=65536.",
  );
}

export function certificateChecks(
  { smtpInterfaces, hostname }: Config,
  now: () => number = Date.now,
): Check[] {
  return smtpInterfaces.flatMap((each) => {
    const { name, tls, certificates } = each;
    const own = each.hostname ?? hostname;
    const all: [string, Certificate][] = [
      ...(tls ? [[own, tls] as [string, Certificate]] : []),
      ...certificates,
    ];
    return all.map(([host, certificate]) => ({
      topic: "certificate",
      about: `${name} ${host}`,
      run: async () => Promise.resolve(judgeCertificate(host, certificate, now())),
    }));
  });
}

function judgeCertificate(host: string, { key, cert }: Certificate, now: number): Verdict {
  const certificate = new X509Certificate(cert);
  const until = Date.parse(certificate.validTo);
  const day = new Date(until).toISOString().slice(0, 10);
  if (!certificate.checkPrivateKey(createPrivateKey(key)))
    return failure("the key is not that of the certificate", "Set key and cert to a pair.");
  if (until < now)
    return failure(`it ended on ${day}: clients refuse it`, "Renew it, and reload (kill -HUP).");
  if (Date.parse(certificate.validFrom) > now)
    return failure(`it begins on ${certificate.validFrom} only`, "Use one that has begun.");
  if (until - now < RENEW_BEFORE_MS) return warning(`it ends on ${day}`, "Renew it, and reload (kill -HUP).");
  if (certificate.checkHost(host.replace(/^\*\./, "any.")) === undefined)
    return warning(
      `it is for ${certificate.subjectAltName ?? certificate.subject}`,
      `Clients that connect to ${host} refuse it: get one for that name, or set hostname of the interface.`,
    );
  return ok(`it is good until ${day}`);
}

/** `isDeployed`: Lambdas let nobody in without a key. */
export function accessCheck(
  { api }: Config,
  { isDeployed, apiKeyCount }: { isDeployed: boolean; apiKeyCount: () => Promise<number> },
): Check[] {
  if (!api.enabled && !isDeployed) return [];
  const isOpen = !isDeployed && isLoopbackHost(api.host);
  const about = isDeployed ? "HTTP API" : `${api.host}:${api.port}`;
  return [
    {
      topic: "API keys",
      about,
      async run() {
        const count = await apiKeyCount();
        if (count > 0) return ok(count === 1 ? "there is one" : `there are ${count}`);
        if (isOpen) return ok("there is none, and none is needed: only programs of this machine reach it");
        return failure(
          "there is none, so nobody is let in",
          "Make one: npx zonefleet api-key add --scope send,read",
        );
      },
    },
  ];
}

/** `url`: of the API; null: it has none that is known here. */
export function healthCheck(url: string | null): Check[] {
  if (url === null) return [];
  return [{ topic: "health", about: url, run: () => askHealth(url) }];
}

async function askHealth(url: string): Promise<Verdict> {
  try {
    const response = await fetch(new URL("/healthz", url), { signal: AbortSignal.timeout(HEALTH_MS) });
    await response.body?.cancel();
    if (response.ok) return ok("it takes mail, and its store answers");
    return failure(`it answers ${response.status}`, "Look into its log: the store does not answer.");
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    return warning(
      `it does not answer: ${messageOf(cause ?? error)}`,
      "Start it, or say where it is with ZONEFLEET_URL.",
    );
  }
}
