/**
 * Two senders that share one installation while DynamoDB, SQS or S3 fail between them and it, at the wire. Whatever fails, each mail
 * that was accepted is delivered, once. The faults last `FAULT_SECONDS` (a minute asks for FAULT_SECONDS=60); their chance is of
 * `FAULT_SEED`.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import type { AwsProxy, Fault, FaultRule, Service } from "../support/aws-proxy.ts";
import { startAwsProxy } from "../support/aws-proxy.ts";
import { newAwsInstallation } from "../support/aws-relay-store.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";
import { seeded } from "../support/chance.ts";
import { fakeDns } from "../support/fake-dns.ts";
import type { FakeMx } from "../support/fake-mx.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { allDelivered, submitMails } from "../support/fault-load.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { eventually } from "../support/relay-process.ts";
import { fewer, patient, TOGETHER } from "../support/patience.ts";
import type { Relay } from "../support/relay.ts";
import { startRelay } from "../support/relay.ts";

const FAULT_MS = Number(process.env["FAULT_SECONDS"] ?? 4) * SECOND;
const SEED = Number(process.env["FAULT_SEED"] ?? Math.floor(Math.random() * 1_000_000));
/** Outlasts the fault, as one of two minutes does a minute. */
const LEASE_MS = 2 * FAULT_MS + 10 * SECOND;
/** Does not, not even with what clocks may differ by: when the fault is over, all leases have lapsed for everybody. */
const SHORT_LEASE_MS = 2 * SECOND;
const LONG_FAULT_MS = Math.max(FAULT_MS, 12 * SECOND);
/** After a fault: a lease of which nobody knows lapses, what waits between tries, a look at the index and its grace. */
const PATIENCE_MS = LEASE_MS + patient(60 * SECOND);
const TIMEOUT_MS = LONG_FAULT_MS + PATIENCE_MS + patient(60 * SECOND);
const MAILS = fewer(60);
/** Each is two senders in this process: leases of seconds must not lapse while they wait for a processor. */
const AT_ONCE = TOGETHER === true ? 5 : TOGETHER;

stopLocalAwsAtEnd();

interface Fleet extends AsyncDisposable {
  readonly relays: readonly [Relay, Relay];
  readonly mx: FakeMx;
  /** Before both, or before the first alone. */
  readonly proxy: AwsProxy;
  /** Before the second; the same one unless they are apart. */
  readonly other: AwsProxy;
}

/** Two senders behind the proxy. */
async function startFleet({ leaseMs = LEASE_MS, apart = false } = {}): Promise<Fleet> {
  const installation = await newAwsInstallation();
  const parts = new AsyncDisposableStack();
  const proxy = parts.use(await startAwsProxy(installation.env));
  const other = apart ? parts.use(await startAwsProxy(installation.env)) : proxy;
  const mx = parts.use(await startFakeMx());
  const options = {
    backend: "aws" as const,
    installation: { ...installation, env: proxy.env },
    dns: fakeDns({ "one.example": { a: ["127.0.0.1"] } }),
    config: {
      zones: { default: { port: mx.port } },
      domainConfig: { default: { maxConnections: 4 } },
      queue: { lease: leaseMs, deferTimes: Array.from({ length: 20 }, () => 500) },
    },
  };
  const behindOther = { ...options, installation: { ...installation, env: other.env } };
  const relays = [parts.use(await startRelay(options)), parts.use(await startRelay(behindOther))] as const;
  return { relays, mx, proxy, other, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

/** Every request of a service, or of some of its operations, comes to this. */
function always(service: Service, fault: Fault, operations?: readonly string[]): FaultRule {
  return (request) =>
    request.service === service && (operations?.includes(request.operation) ?? true) ? fault : null;
}

async function during(
  proxy: AwsProxy,
  rule: FaultRule,
  ms: number,
  work: () => Promise<void>,
): Promise<void> {
  const over = (async () => {
    await systemClock.sleep(ms);
    proxy.rules.delete(rule);
  })();
  proxy.rules.add(rule);
  await Promise.all([work(), over]);
}

describe("two senders on AWS", { skip: noLocalAws(), timeout: 3 * TIMEOUT_MS, concurrency: AT_ONCE }, () => {
  const seconds = FAULT_MS / SECOND;
  for (const [what, rule] of [
    ["DynamoDB throttles everything", always("dynamo", { do: "refuse" })],
    ["SQS refuses everything", always("sqs", { do: "refuse" })],
    ["S3 fails at every PUT", always("s3", { do: "refuse" }, ["PutObject"])],
    ["S3 fails at every GET", always("s3", { do: "refuse" }, ["GetObject"])],
    ["S3 takes a second for everything", always("s3", { do: "delay", ms: SECOND })],
  ] as const) {
    test(`deliver each accepted mail once though ${what} for ${seconds} s`, async () => {
      await using fleet = await startFleet();
      const { relays, mx, proxy } = fleet;
      const before = await submitMails(relays, { count: MAILS / 3, prefix: "before" });
      const sent: { mails: typeof before.mails }[] = [before];
      await during(proxy, rule, FAULT_MS, async () => {
        sent.push(await submitMails(relays, { count: MAILS, prefix: "during", patienceMs: PATIENCE_MS }));
      });
      const mails = sent.flatMap((one) => one.mails);
      assert.equal(mails.length, MAILS / 3 + MAILS);
      await allDelivered(relays[0], mx, { mails, patienceMs: PATIENCE_MS });
    });
  }

  for (const [what, rule] of [
    ["DynamoDB throttles everything", always("dynamo", { do: "refuse" })],
    ["SQS refuses everything", always("sqs", { do: "refuse" })],
  ] as const) {
    const longSeconds = LONG_FAULT_MS / SECOND;
    test(`deliver each accepted mail once though ${what} for ${longSeconds} s, far longer than a lease`, async () => {
      await using fleet = await startFleet({ leaseMs: SHORT_LEASE_MS });
      const { relays, mx, proxy } = fleet;
      const inFault = Promise.withResolvers<void>();
      let inFlight = 0;
      mx.rules.message = async () => {
        inFlight++;
        await inFault.promise;
        return { do: "accept" };
      };
      const before = await submitMails(relays, { count: MAILS / 3, prefix: "before" });
      await eventually("mail in mid-delivery", PATIENCE_MS, () => (inFlight > 0 ? true : null));
      const sent = [before];
      await during(proxy, rule, LONG_FAULT_MS, async () => {
        inFault.resolve(); // its outcome cannot be written before all leases have lapsed
        sent.push(await submitMails(relays, { count: MAILS, prefix: "during", patienceMs: PATIENCE_MS }));
      });
      await allDelivered(relays[0], mx, {
        mails: sent.flatMap(({ mails }) => mails),
        patienceMs: PATIENCE_MS,
      });
    });
  }

  test("leave lapsed rows to the one that is late to write their outcomes when DynamoDB is back", async () => {
    await using fleet = await startFleet({ leaseMs: SHORT_LEASE_MS, apart: true });
    const { relays, mx, proxy, other } = fleet;
    const inFault = Promise.withResolvers<void>();
    let inFlight = 0;
    mx.rules.message = async () => {
      inFlight++;
      await inFault.promise;
      return { do: "accept" };
    };
    const sent = await submitMails([relays[0]], { count: MAILS / 3 });
    await eventually("mail in mid-delivery", PATIENCE_MS, () => (inFlight > 0 ? true : null));
    const throttled = always("dynamo", { do: "refuse" });
    const late = during(proxy, throttled, LONG_FAULT_MS + 3 * SECOND, () => Promise.resolve());
    await during(other, throttled, LONG_FAULT_MS, () => Promise.resolve(inFault.resolve()));
    await late;
    await allDelivered(relays[0], mx, { mails: sent.mails, patienceMs: PATIENCE_MS });
  });

  test("refuse mail for now while its bytes cannot be stored, and keep nothing of it", async () => {
    await using fleet = await startFleet();
    const { relays, mx, proxy } = fleet;
    proxy.rules.add(always("s3", { do: "refuse" }, ["PutObject"]));
    await assert.rejects(
      relays[0].submit(submission({ recipients: [address("refused@one.example")] })),
      (error: Error) => error.name !== "DomainError",
    );
    proxy.rules.clear();
    assert.deepEqual(await relays[0].backend.queue.counts(), []);
    assert.deepEqual(mx.mails, []);
  });

  test("deliver a mail once however many signals and answers are doubled or lost", async (t) => {
    t.diagnostic(`FAULT_SEED=${SEED}`);
    const random = seeded(SEED);
    await using fleet = await startFleet();
    const { relays, mx, proxy } = fleet;
    proxy.rules.add(always("sqs", { do: "repeat" }, ["SendMessageBatch"])); // twice as many signals as rows
    proxy.rules.add(({ service, operation }) => {
      if (service !== "dynamo" || operation === "Query" || random() > 0.1) return null;
      return { do: random() < 0.5 ? "lose" : "cut" };
    });
    const { mails } = await submitMails(relays, { count: MAILS });
    await allDelivered(relays[1], mx, { mails, patienceMs: PATIENCE_MS });
  });

  test("find the mail whose signals were all lost", async () => {
    await using fleet = await startFleet();
    const { relays, mx, proxy } = fleet;
    const lost = always("sqs", { do: "cut" }, ["SendMessageBatch"]);
    proxy.rules.add(lost);
    const { mails } = await submitMails(relays, { count: MAILS });
    await allDelivered(relays[0], mx, { mails, patienceMs: PATIENCE_MS });
  });
});
