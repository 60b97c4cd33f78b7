/**
 * A whole relay inside the test's process: the real worker on real sockets, and on a real LMDB folder or the local AWS. Only the DNS
 * is a table.
 */

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { pino } from "pino";

import type { Clock } from "#shared/domain/clock.ts";
import type { Config } from "#shared/domain/config.ts";
import type { MessageId, WorkerId } from "#shared/domain/ids.ts";
import { messageIds, parseMessageId, workerId } from "#shared/domain/ids.ts";
import type { Message } from "#shared/domain/message.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import { isFinal } from "#shared/domain/queue-row.ts";
import { domainKeys } from "#shared/app/domain-keys.ts";
import { keyReader } from "#shared/app/message-keys.ts";
import type { Submit } from "#shared/app/submission.ts";
import { openEmbedded } from "#shared/embedded/open.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { Dns } from "#shared/ports/dns.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { httpPost } from "#shared/runtime/http-post.ts";
import { createMetrics } from "#shared/runtime/metrics.ts";
import { heldAddresses } from "../../sender/addresses/held-addresses.ts";
import type { HeldAddresses } from "../../sender/addresses/held-addresses.ts";
import type { StsOf } from "../../sender/delivery/mta-sts.ts";
import { mxResolver } from "../../sender/delivery/resolve-mx.ts";
import { signer } from "../../sender/delivery/sign.ts";
import { feederDoor, httpDoor } from "../../sender/front-doors.ts";
import { pluginsFor } from "../../sender/load-plugins.ts";
import { observer } from "../../sender/observe.ts";
import { EMBEDDED_TERMS } from "../../sender/store-terms.ts";
import type { StoreTerms } from "../../sender/store-terms.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { AwsInstallation } from "./aws-relay-store.ts";
import { patient } from "./patience.ts";
import { withDefaults } from "./relay-process.ts";
import { startWorker } from "../../sender/worker.ts";
import type { Worker } from "../../sender/worker.ts";

export interface Relay extends AsyncDisposable {
  readonly smtpPort: number;
  readonly httpUrl: string;
  readonly backend: Backend;
  readonly worker: WorkerId;
  readonly submit: Submit;
  /** Message and rows as they are now. Throws when there is no such message. */
  message(id: MessageId): Promise<{ message: Message; rows: QueueRow[] }>;
  /** The same when no row is open any more. */
  finished(id: MessageId): Promise<{ message: Message; rows: QueueRow[] }>;
  drain(graceMs: number): Promise<void>;
}

export interface RelayOptions {
  /** Over the defaults of a test: free ports, no sandbox, local targets allowed. */
  readonly config?: ConfigInput;
  readonly dns: Dns;
  /** Default: no domain has a policy. */
  readonly stsOf?: StsOf;
  /** Default: embedded. A file that says `aws` calls `stopLocalAwsAtEnd`. */
  readonly backend?: "embedded" | "aws";
  /** Which one on AWS, so that relays share it; default: a new one, whose bounces are reported. */
  readonly installation?: AwsInstallation;
  /** Elastic IPs that it may send from; default: none. */
  readonly addresses?: HeldAddresses;
  /** Default: that of the machine. */
  readonly clock?: Clock;
  /** A folder of the test's own, which it removes itself; default: a new one. */
  readonly folder?: string;
  /** Log lines on stdout from this level; default: none. */
  readonly logLevel?: string;
}

const FINISHED_TIMEOUT_MS = patient(20_000);
const POLL_MS = 10;
const DRAIN_MS = 5_000;

export async function startRelay(options: RelayOptions): Promise<Relay> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "zonefleet-test-")));
  const config = parseConfig(withDefaults(options.config ?? {}), { source: null, baseDir: folder });
  const { clock = systemClock } = options;
  const log = pino({ level: options.logLevel ?? "silent" });
  const store = await (options.backend === "aws"
    ? awsStore(config, options)
    : embeddedStore(folder, config, clock));
  const { backend, terms } = store;
  const metrics = createMetrics({
    zones: config.zones.keys(),
    readStore: async () => ({ queued: 0, deferred: 0, blacklisted: 0, slowed: 0 }),
    totals: async () => null,
    onError: (error) => log.error({ err: error }),
  });
  const worker = workerId("test", process.pid, randomBytes(4));
  const plugins = await pluginsFor(config, { log, limits: backend.limits });
  const newId = messageIds(() => clock.now(), randomBytes);
  const { dns } = options;
  const doorDeps = {
    config,
    backend,
    dns,
    clock,
    log,
    metrics,
    plugins,
    newMessageId: newId,
    reusePort: false,
  };
  const running: Worker = await startWorker({
    config,
    backend,
    terms,
    clock,
    random: Math.random,
    newMessageId: newId,
    plugins,
    worker,
    hostname: "test",
    addresses: options.addresses ?? heldAddresses(clock),
    pid: process.pid,
    resolve: mxResolver({
      dns: options.dns,
      clock,
      random: Math.random,
      ownNames: new Set(),
      ownAddresses: new Set(),
      hostsFile: async () => [],
    }),
    stsOf: options.stsOf ?? (async () => null),
    signer: signer({
      dkim: config.dkim,
      storedKeys: domainKeys(backend.secrets, { clock }),
      messageKey: keyReader(backend.secrets),
      hostname: config.hostname,
      name: config.name,
      now: () => clock.now(),
      onWarning: (text) => log.warn(text),
    }),
    connectOptions: {},
    post: httpPost(),
    onSlower: () => undefined,
    observer: observer({ log, metrics, clock }),
    onConnections: () => undefined,
    onError: (what, error, fields) => log.error({ err: error, ...fields }, what),
    frontDoors: [...config.smtpInterfaces.map((each) => feederDoor(each, doorDeps)), httpDoor(doorDeps)],
  });
  const reporting = store.reportBounces?.(running.submit);
  let drained = false;
  const drain = async (graceMs: number): Promise<void> => {
    drained = true;
    await running.drain(graceMs);
  };
  const messageNow = async (id: MessageId): Promise<{ message: Message; rows: QueueRow[] }> => {
    const stored = await backend.queue.get(id);
    if (!stored) throw new Error(`no message ${id}`);
    return stored;
  };
  return {
    smtpPort: running.frontDoors.find(({ kind }) => kind === "smtp")?.port ?? 0,
    httpUrl: `http://127.0.0.1:${running.frontDoors.find(({ kind }) => kind === "http")?.port}`,
    backend,
    worker,
    submit: running.submit,
    message: messageNow,
    async finished(id) {
      const deadline = Date.now() + FINISHED_TIMEOUT_MS;
      for (;;) {
        const stored = await messageNow(id);
        if (stored.rows.every((row) => isFinal(row.state))) return stored;
        if (Date.now() > deadline) throw new Error(`not finished: ${JSON.stringify(stored.rows, null, 1)}`);
        await systemClock.sleep(POLL_MS);
      }
    },
    drain,
    async [Symbol.asyncDispose]() {
      if (!drained) await running.drain(DRAIN_MS);
      await reporting?.[Symbol.asyncDispose]();
      await backend.close();
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Where the relay of a test keeps its mail. */
export interface RelayStore {
  readonly backend: Backend;
  readonly terms: StoreTerms;
  /** What reports bounces beside the worker; left out: the worker does. */
  readonly reportBounces?: (submit: Submit) => AsyncDisposable;
}

async function embeddedStore(
  folder: string,
  { queue: { historyMs } }: Config,
  clock: Clock,
): Promise<RelayStore> {
  const backend = await openEmbedded({ dataDir: folder, clock, historyMs });
  return { backend, terms: EMBEDDED_TERMS };
}

/** Loaded when it is wanted: the SDK takes a while. */
async function awsStore(config: Config, options: RelayOptions): Promise<RelayStore> {
  const { awsRelayStore } = await import("./aws-relay-store.ts");
  return awsRelayStore(config, options);
}

/** The id in `Message queued as <id>`. */
export function queuedId(reply: string): MessageId {
  const match = /queued as ([0-9a-z]{26})/.exec(reply);
  const id = match ? parseMessageId(match[1] as string) : null;
  if (!id) throw new Error(`no message id in: ${reply}`);
  return id;
}
