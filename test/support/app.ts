/** The use cases of mail on a real embedded backend and a clock that is told the time. */

import type { Config } from "#shared/domain/config.ts";
import type { Message } from "#shared/domain/message.ts";
import { classifierWith } from "#shared/domain/own-bounce-rules.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import type { AttemptRecord, QueueRow, Settled } from "#shared/domain/queue-row.ts";
import type { Zone, ZoneName } from "#shared/domain/zone.ts";
import type { MailNotes, Observer } from "#shared/app/observer.ts";
import { bounceReader } from "#shared/app/report-bounces.ts";
import { settler } from "#shared/app/settle.ts";
import type { Complaint } from "#shared/app/settle.ts";
import type { Submission, Submit } from "#shared/app/submission.ts";
import { submitter } from "#shared/app/submit.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { Taken } from "#shared/ports/queue-store.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import type { ConfigInput } from "#shared/runtime/config-schema.ts";
import { embeddedBackend, takeRequest } from "./backend.ts";
import { address, anna, newMessageId } from "./builders.ts";
import { fakeClock } from "./fake-clock.ts";
import type { FakeClock } from "./fake-clock.ts";

export interface Told {
  readonly accepted: Message[];
  /** What was said of each of them beside. */
  readonly notes: MailNotes[];
  readonly notAccepted: unknown[];
  readonly settled: { row: QueueRow; attempt: AttemptRecord; settled: Settled }[];
  readonly late: QueueRow[];
  readonly bounces: Message[];
  readonly complaints: Complaint[];
}

export interface App extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly config: Config;
  readonly backend: Backend;
  readonly submit: Submit;
  readonly told: Told;
  /** Rows of a zone that are due now, leased to anna. */
  take(zone?: string): Promise<Taken[]>;
  /** Settle all rows taken with one outcome. */
  settleAll(
    taken: readonly Taken[],
    outcome: Outcome,
    site?: { otherEgress?: boolean; site?: string },
  ): Promise<void>;
  report(): Promise<number | null>;
}

export async function openApp(
  input: ConfigInput = {},
  wrap: (backend: Backend) => Backend = (it) => it,
  random: () => number = () => 0,
): Promise<App> {
  const clock = fakeClock();
  const opened = await embeddedBackend(clock);
  const backend = wrap(opened.backend);
  const config = parseConfig(input, { source: null, baseDir: "/" });
  const { told, observer } = listener();
  const submit = submitter({ ...backend, config, clock, newMessageId, plugins: null, observer });
  const settle = settler({
    ...backend,
    config,
    clock,
    random,
    observer,
    classify: classifierWith(config.bounces.rules),
    slowDown: async (complaint) => void told.complaints.push(complaint),
  });
  const { events, queue, bodies } = backend;
  const readBounces = bounceReader({
    config,
    events,
    queue,
    bodies,
    submit,
    clock,
    worker: anna,
    observer,
    onUnreportable: (_, error) => told.notAccepted.push(error),
  });
  return {
    clock,
    config,
    backend,
    submit,
    told,
    take: (zone = "default") => queue.take(takeRequest({ zone: zone as ZoneName })),
    async settleAll(taken, outcome, { otherEgress = false, site = "mx.example" } = {}) {
      for (const { leases } of taken) {
        const zone = config.zones.get(leases[0]?.row.zone as ZoneName) as Zone;
        const outcomes = leases.map(() => outcome);
        await settle({ zone, site, startedAt: clock.now(), leases, outcomes, otherEgress });
      }
    },
    report: () => readBounces(),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

function listener(): { told: Told; observer: Observer } {
  const told: Told = {
    accepted: [],
    notes: [],
    notAccepted: [],
    settled: [],
    late: [],
    bounces: [],
    complaints: [],
  };
  const observer: Observer = {
    accepted: (message, _rows, _durationMs, notes = {}) => {
      told.accepted.push(message);
      told.notes.push(notes);
    },
    notAccepted: (error) => void told.notAccepted.push(error),
    settled: (row, attempt, settled) => void told.settled.push({ row, attempt, settled }),
    settledLate: (row) => void told.late.push(row),
    bounceSent: (message) => void told.bounces.push(message),
  };
  return { told, observer };
}

/** A small submission from an SMTP client. */
export function submission(fields: Partial<Submission> & { text?: string } = {}): Submission {
  const { text = "Subject: hello\r\n\r\nhello\r\n", ...rest } = fields;
  return {
    returnPath: address("sender@sender.example"),
    recipients: [address("rcpt@one.example")],
    origin: {
      interface: "feeder",
      protocol: "ESMTP",
      ip: "192.0.2.9",
      host: null,
      helo: "client",
      user: null,
      tls: null,
    },
    source: once(text),
    bareNewlines: "refuse",
    maxBytes: 1_000_000,
    smtputf8: false,
    notBefore: null,
    ...rest,
  };
}

export async function* once(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}
