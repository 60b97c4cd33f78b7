/** An SMTP feeder on a free port of 127.0.0.1, with a `submit` that collects what it is given. */

import { createHash } from "node:crypto";

import type { Submission, Submit, Submitted } from "#shared/app/submission.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { HttpServiceConfig, SmtpInterface } from "#shared/domain/config.ts";
import { rowIdOf } from "#shared/domain/ids.ts";
import type { Srs } from "#shared/domain/srs.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { MIB, MINUTE } from "#shared/domain/units.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { Dns } from "#shared/ports/dns.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import type { SenderDirectory } from "#shared/ports/sender-directory.ts";
import type { FeederLog, FeederMetrics } from "../../sender/feeder/context.ts";
import { startFeeder } from "../../sender/feeder/server.ts";
import type { Feeder } from "../../sender/feeder/server.ts";
import { memorySecrets } from "./memory-secrets.ts";
import { message, newMessageId } from "./builders.ts";
import { fakeDns } from "./fake-dns.ts";

export interface Collected extends Omit<Submission, "source"> {
  /** The message; empty when `keep` was false. */
  readonly text: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface CollectingSubmit {
  readonly submit: Submit;
  readonly collected: Collected[];
}

/** Reads each message to its end, then does what `verdict` says: throws to refuse. `keep` false: bytes are counted only. */
export function collectingSubmit({
  verdict = () => Promise.resolve(),
  keep = true,
}: { verdict?: (mail: Collected) => Promise<void>; keep?: boolean } = {}): CollectingSubmit {
  const collected: Collected[] = [];
  return {
    collected,
    async submit({ source, ...envelope }) {
      const hash = createHash("sha256");
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of source) {
        bytes += chunk.length;
        hash.update(chunk);
        if (keep) chunks.push(chunk);
      }
      const text = Buffer.concat(chunks).toString("latin1");
      const mail = { ...envelope, text, bytes, sha256: hash.digest("hex") };
      await verdict(mail);
      collected.push(mail);
      return submittedOf(envelope);
    },
  };
}

export function submittedOf({ recipients }: Pick<Submission, "recipients">): Submitted {
  const messageId = newMessageId();
  const rows = recipients.map((recipient, i) => ({
    id: rowIdOf(messageId, i + 1),
    recipient,
    state: "queued" as const,
  }));
  return { message: message({ id: messageId }), messageId, rows };
}

export function testInterface(fields: Partial<SmtpInterface> = {}): SmtpInterface {
  return {
    name: "feeder",
    host: "127.0.0.1",
    port: 0,
    maxSize: 10 * MIB,
    maxRecipients: 1_000,
    hostname: null,
    authentication: false,
    authOptional: false,
    allowInsecureAuth: false,
    proxyFrom: [],
    xclientFrom: [],
    xforwardFrom: [],
    lmtp: false,
    starttls: false,
    secure: false,
    tls: null,
    certificates: new Map(),
    banner: null,
    maxClients: 1_000,
    maxClientsPerAddress: null,
    idleTimeoutMs: 5 * MINUTE,
    reverseLookup: false,
    ...fields,
  };
}

/** Time as it is, with no waits: a sleep ends with the next turn of the loop, but one that has a signal never ends by itself. */
export const hastyClock: Clock = {
  now: () => Date.now() as EpochMs,
  sleep: (_ms, signal) =>
    new Promise((resolve) => {
      if (signal) signal.addEventListener("abort", () => resolve(), { once: true });
      else setImmediate(resolve);
    }),
};

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly fields: Record<string, unknown>;
}

export function collectingLog(): { log: FeederLog; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (fields: object, msg: string) => {
    lines.push({ level, msg, fields: { ...fields } });
  };
  return { lines, log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") } };
}

export const NO_METRICS: FeederMetrics = {
  sessionOpened: () => undefined,
  sessionClosed: () => undefined,
  accepted: () => undefined,
  refused: () => undefined,
  authFailed: () => undefined,
};

export interface TestFeederOptions {
  readonly settings?: Partial<SmtpInterface>;
  readonly submit?: Submit;
  readonly secrets?: SecretStore;
  readonly httpAuth?: HttpServiceConfig;
  readonly senders?: SenderDirectory;
  readonly srs?: Srs;
  readonly plugins?: Plugins;
  /** Default: no name is known. */
  readonly dns?: Dns;
  readonly clock?: Clock;
  readonly log?: FeederLog;
  readonly metrics?: Partial<FeederMetrics>;
  readonly reusePort?: boolean;
}

/** Closed with `await using`. */
export async function testFeeder(options: TestFeederOptions = {}): Promise<Feeder & AsyncDisposable> {
  const feeder = await startFeeder({
    interface: testInterface(options.settings),
    name: "ZoneFleet",
    hostname: "mx.test",
    submit: options.submit ?? collectingSubmit().submit,
    secrets: options.secrets ?? memorySecrets(),
    httpAuth: options.httpAuth ?? null,
    senders: options.senders ?? null,
    srs: options.srs ?? null,
    plugins: options.plugins ?? null,
    newMessageId,
    dns: options.dns ?? fakeDns(),
    clock: options.clock ?? hastyClock,
    log: options.log ?? collectingLog().log,
    metrics: { ...NO_METRICS, ...options.metrics },
    reusePort: options.reusePort ?? false,
  });
  return { ...feeder, [Symbol.asyncDispose]: () => feeder.close() };
}
