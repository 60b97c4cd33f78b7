/**
 * From the environment to a running relay and its exit code: reads the settings, claims the data folder, checks the ports, has the
 * supervisor run the workers, and tells the person at the screen what there is. The screen is stderr; stdout is the log's.
 */

import { hostname } from "node:os";
import { join } from "node:path";

import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { elasticNames } from "#shared/domain/pool.ts";
import { MINUTE } from "#shared/domain/units.ts";
import type { Settings } from "#shared/runtime/config.ts";
import { loadConfig } from "#shared/runtime/config.ts";
import type { Logger } from "#shared/runtime/log.ts";
import type { DeployedHost } from "./addresses/deployed-host.ts";
import { checkPorts } from "./check-ports.ts";
import { claimDataFolder, makeFolderFor } from "./data-folder.ts";
import type { FrontDoorElsewhere } from "./greeting.ts";
import { greeting, SANDBOX_FOLDER } from "./greeting.ts";
import { holdSockets } from "./held-sockets.ts";
import { missingAddresses } from "./missing-addresses.ts";
import { ROOT_WARNING, asUser, becomeUser, checkAccess, identityOf, isRoot } from "./run-as.ts";
import { openLog } from "./remote-log/open.ts";
import { supervise } from "./supervisor.ts";
import type { Listening } from "./worker-protocol.ts";

export interface StartOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly workerPath: string;
  readonly clock: Clock;
  /** Drain. */
  readonly stop: AbortSignal;
  /** End at once. */
  readonly cut: AbortSignal;
  /** `listener` is called at each wish to read the configuration again. */
  readonly onReload: (listener: () => void) => void;
  /** Show a text to the person at the screen. */
  readonly say: (text: string) => void;
  /** Who serves the HTTP API in place of the workers; left out: they do. */
  readonly frontDoor?: FrontDoorElsewhere;
}

/** Resolves with the exit code when all has ended. */
export async function startSender(options: StartOptions): Promise<number> {
  try {
    return await Promise.race([run(options), cutOff(options.cut)]);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    options.say(`zonefleet: ${error.message}`);
    return 1;
  }
}

/** Whatever is going on: workers are killed in the same turn. */
function cutOff(cut: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    cut.addEventListener("abort", () => resolve(1), { once: true });
  });
}

async function run(options: StartOptions): Promise<number> {
  const { env, cwd, workerPath, clock, stop, cut, say, frontDoor = null } = options;
  const sayStopping = (): void =>
    say("Stopping: what is being sent is finished first. Once more ends at once.");
  stop.addEventListener("abort", sayStopping, { once: true });
  const read = withFrontDoor(await whole(await loadConfig({ env, cwd }), options), frontDoor);
  const log = await openLog(read, { clock });
  const host = await deployedHostOf(read, options, log);
  if (host === "ends") {
    say("This host is to end: nothing is begun on it.");
    while (!stop.aborted) await clock.sleep(MINUTE, stop); // an end by itself would have it started again at once
    return 0;
  }
  const identity = read.config.runAs && identityOf(read.config.runAs);
  if (isRoot() && identity === null) say(ROOT_WARNING);
  if (identity) await makeFolderFor(identity, read.dataDir);
  const claimFolder = (): Promise<Disposable> =>
    claimDataFolder({
      folder: read.dataDir,
      pid: process.pid,
      digest: read.config.digest,
      clock,
      stop,
      onWait: () => say("Waiting for the workers of the former ZoneFleet to finish what they are sending …"),
    });
  const claim = await (identity ? asUser(identity, claimFolder) : claimFolder());
  let sandbox: AsyncDisposable | null = null;
  try {
    const settings = { ...read, config: await checkPorts(read.config) };
    await tellMissing(settings.config, log);
    const held = identity && (await holdSockets(settings.config, settings.processes));
    if (identity) {
      becomeUser(identity);
      await checkAccess(identity, { dataDir: settings.dataDir, program: workerPath });
    }
    sandbox = await sandboxOf(settings, { clock, log });
    const onReady = (listens: readonly Listening[]): void =>
      say(greeting(settings, { listens, frontDoor, cwd }));
    const readAgain = async (current: Settings): Promise<Settings> => {
      const next = withFrontDoor(
        await whole(await loadConfig({ env, cwd, again: true }), options),
        frontDoor,
      );
      sameFile(next, current);
      const config = await checkPorts(next.config, current.config);
      sameSandbox(config, current.config);
      sameUser(config, current.config);
      await tellMissing(config, log);
      const names = elasticNamesOf(next);
      host?.useNames(names);
      return { ...next, config };
    };
    host?.ending.addEventListener("abort", () => say("This host is to end."), { once: true });
    host?.begin();
    const end = await supervise({
      workerPath,
      settings,
      hostname: host?.name ?? hostname(),
      clock,
      log,
      stop: host ? AbortSignal.any([stop, host.ending]) : stop,
      cut,
      onReady,
      addresses: host?.addresses ?? null,
      held,
      reload: { onWish: options.onReload, read: readAgain, say },
    });
    await host?.leave();
    if (end.kind === "gave-up") say(`zonefleet: ${end.message}`);
    return end.kind === "drained" ? 0 : 1;
  } finally {
    await sandbox?.[Symbol.asyncDispose]();
    claim[Symbol.dispose]();
  }
}

async function tellMissing(config: Config, log: Logger): Promise<void> {
  for (const address of await missingAddresses(config))
    log.warn({ component: "pools", address }, "no address of this machine: nothing is sent from it");
}

/** The built-in receiver runs here, beside the workers: one for all of them. Null: it is off. */
async function sandboxOf(
  { config: { sandbox }, dataDir }: Settings,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<AsyncDisposable | null> {
  if (!sandbox.enabled) return null;
  const { startSandbox } = await import("./sandbox/start-sandbox.ts"); // the supervisor of a real relay does without it
  const { host, port } = sandbox;
  const receiver = await startSandbox({ host, port, folder: join(dataDir, SANDBOX_FOLDER), clock, log });
  return { [Symbol.asyncDispose]: () => receiver.close() };
}

/** It runs in this process, for as long as that does. */
function sameSandbox({ sandbox: next }: Config, { sandbox: current }: Config): void {
  const same = next.enabled === current.enabled && next.host === current.host && next.port === current.port;
  if (same) return;
  const message = "sandbox: cannot be changed while ZoneFleet runs; leave it as it was, or restart";
  throw new DomainError("invalid-config", message, "sandbox");
}

/** A file that is gone, as while another is put in its place, does not mean the built-in defaults: they deliver mail elsewhere. */
function sameFile({ source: next }: Settings, { source: current }: Settings): void {
  if (current === null || next !== null) return;
  throw new DomainError(
    "invalid-config",
    `${current} is gone; put it back, or stop ZoneFleet to start without it`,
  );
}

/** Who has become a user cannot become another. */
function sameUser({ runAs: next }: Config, { runAs: current }: Config): void {
  if (next?.user === current?.user && next?.group === current?.group) return;
  const message = "user, group: cannot be changed while ZoneFleet runs; leave them as they were, or restart";
  throw new DomainError("invalid-config", message, "user");
}

/** The configuration of a deployment gets its secrets back, here and not in the workers, so that a reload asks for them again. */
async function whole(settings: Settings, { env, clock }: StartOptions): Promise<Settings> {
  const { aws, config, secretsElsewhere, source } = settings;
  if (!secretsElsewhere) return settings;
  if (aws === null) {
    const message = `${source ?? ""} is the configuration of a deployment on AWS: set ZONEFLEET_BACKEND=aws`;
    throw new DomainError("invalid-config", message);
  }
  const { wholeConfig } = await import("./aws/wire.ts"); // one machine does without the SDK
  return { ...settings, config: await wholeConfig(config, { aws, env, clock }) };
}

/** Null: it is none of a deployment on AWS. */
async function deployedHostOf(
  settings: Settings,
  { env, clock }: StartOptions,
  log: Logger,
): Promise<DeployedHost | "ends" | null> {
  const { aws } = settings;
  const names = elasticNamesOf(settings);
  if (aws === null || aws.installation === null) return null;
  const { installation } = aws;
  const { openDeployedHost } = await import("./addresses/wire.ts"); // as for the SDK above
  return (await openDeployedHost({ aws, installation, names, clock, log, env })) ?? "ends";
}

/** Throws a `DomainError` where there are no Elastic IPs to be had. */
function elasticNamesOf({ aws, config }: Settings): string[] {
  const names = elasticNames([...config.zones.values()].map(({ pool }) => pool));
  if (names.length === 0 || (aws !== null && aws.installation !== null)) return names;
  const wanted = `pools: Elastic IPs (${names.join(", ")}) are those of a deployment on AWS`;
  const instead =
    aws === null ? "name the IP addresses of this machine" : "its hosts have ZONEFLEET_INSTALLATION set";
  throw new DomainError("invalid-config", `${wanted}: ${instead}`, "pools");
}

/** Workers leave the API to who serves it. */
function withFrontDoor(settings: Settings, frontDoor: FrontDoorElsewhere | null): Settings {
  if (frontDoor === null) return settings;
  const { config } = settings;
  return { ...settings, config: { ...config, api: { ...config.api, enabled: false } } };
}
