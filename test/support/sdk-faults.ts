/**
 * What can go wrong between an SDK client and AWS, put in by middleware of the real client: no local server throttles, loses an
 * answer or leaves part of a batch undone. Faults are below the SDK's own repetition, so that its tries meet them too, but for
 * those of parts of a batch, which are ours to repeat.
 *
 * Commands are named without their end: `PutItem`, `SendMessageBatch`. Counts and capacity are of what went over the wire.
 */

import type { AwsClients } from "#shared/aws/clients.ts";

export interface SdkFaults {
  /** The next `times` tries of the command are refused as too many; nothing is done. */
  throttle(command: string, times?: number): void;
  /** The next `times` tries end with this error; nothing is done. */
  fail(command: string, times?: number, error?: Error): void;
  /** The next `times` tries are done, and their answer is lost: the caller sees a timeout. */
  loseAnswer(command: string, times?: number): void;
  /** The next `times` calls do the first half of their batch and say that the rest is left. */
  leaveHalf(command: string, times?: number): void;
  /** The next `times` tries wait for `until` before they are sent. */
  delay(command: string, until: Promise<unknown>, times?: number): void;
  /** Call `hook` before each try of the command is sent. */
  before(command: string, hook: () => Promise<void> | void): void;
  /** No faults from now on. */
  heal(): void;
  /** Tries by command since the last `reset`. */
  readonly sent: ReadonlyMap<string, number>;
  /** Units consumed since the last `reset`. */
  readonly capacity: { readonly read: number; readonly write: number };
  reset(): void;
}

type Fault =
  | { kind: "error"; error: () => Error }
  | { kind: "lost" }
  | { kind: "half" }
  | { kind: "delay"; until: Promise<unknown> };

interface Planned {
  readonly command: string;
  readonly fault: Fault;
  left: number;
}

type Next = (args: { input: Record<string, unknown> }) => Promise<{ output: Record<string, unknown> }>;
interface Context {
  readonly commandName?: string;
}
interface Stack {
  add(
    middleware: (next: Next, context: Context) => Next,
    options: { step: "initialize" | "deserialize"; name: string; priority?: "high" },
  ): void;
}

/** Put faults into the clients of a test; they stay there. */
export function sdkFaults(clients: AwsClients): SdkFaults {
  let planned: Planned[] = [];
  const hooks = new Map<string, () => Promise<void> | void>();
  const sent = new Map<string, number>();
  const capacity = { read: 0, write: 0 };

  function take(command: string, kinds: readonly Fault["kind"][]): Fault | null {
    const found = planned.find(
      (plan) => plan.command === command && plan.left > 0 && kinds.includes(plan.fault.kind),
    );
    if (!found) return null;
    found.left--;
    return found.fault;
  }

  const plan = (command: string, fault: Fault, times = 1): void => {
    planned.push({ command, fault, left: times });
  };

  /** Around each try, inside the SDK's repetition. */
  const aroundTry =
    (next: Next, context: Context): Next =>
    async (args) => {
      const command = nameOf(context);
      sent.set(command, (sent.get(command) ?? 0) + 1);
      await hooks.get(command)?.();
      const fault = take(command, ["error", "lost", "delay"]);
      if (fault?.kind === "delay") await fault.until;
      if (fault?.kind === "error") throw fault.error();
      const result = await next(args);
      addCapacity(capacity, result.output["ConsumedCapacity"], command);
      if (fault?.kind === "lost") throw timeout();
      return result;
    };

  /** Around the whole call: here the input is not yet written down. */
  const aroundCall =
    (next: Next, context: Context): Next =>
    async (args) => {
      const half = take(nameOf(context), ["half"]) === null ? null : halve(args.input);
      if (!half) return await next(args);
      const result = await next({ ...args, input: half.input });
      return { ...result, output: { ...result.output, ...half.left } };
    };

  const withCapacity =
    (next: Next): Next =>
    (args) =>
      next({ ...args, input: { ...args.input, ReturnConsumedCapacity: "TOTAL" } });

  for (const client of [clients.dynamo, clients.sqs, clients.s3]) {
    // The client's types name each command; the stack itself is the same for all.
    const stack = client.middlewareStack as unknown as Stack;
    stack.add(aroundTry, { step: "deserialize", name: "faultsOfTries", priority: "high" });
    stack.add(aroundCall, { step: "initialize", name: "faultsOfCalls", priority: "high" });
    if (client === clients.dynamo) stack.add(withCapacity, { step: "initialize", name: "capacity" });
  }

  return {
    throttle: (command, times) => plan(command, { kind: "error", error: throttled }, times),
    fail: (command, times, error) =>
      plan(command, { kind: "error", error: () => error ?? unavailable() }, times),
    loseAnswer: (command, times) => plan(command, { kind: "lost" }, times),
    leaveHalf: (command, times) => plan(command, { kind: "half" }, times),
    delay: (command, until, times) => plan(command, { kind: "delay", until }, times),
    before: (command, hook) => void hooks.set(command, hook),
    heal() {
      planned = [];
      hooks.clear();
    },
    sent,
    capacity,
    reset() {
      sent.clear();
      capacity.read = 0;
      capacity.write = 0;
    },
  };
}

function nameOf({ commandName = "" }: Context): string {
  return commandName.replace(/Command$/, "");
}

/** As DynamoDB says it; the SDK takes it for a throttle by its name. */
function throttled(): Error {
  return named("ProvisionedThroughputExceededException", "too many requests (of the test)", 400);
}

function unavailable(): Error {
  return named("ServiceUnavailable", "out of order (of the test)", 503);
}

function timeout(): Error {
  return named("TimeoutError", "no answer came in time (of the test)", undefined);
}

function named(name: string, message: string, httpStatusCode: number | undefined): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode } });
}

interface Half {
  readonly input: Record<string, unknown>;
  /** What the answer has besides: the half that was not done. */
  readonly left: Record<string, unknown>;
}

/** Null: the command has no parts. */
function halve(input: Record<string, unknown>): Half | null {
  if (Array.isArray(input["Entries"])) return halveEntries(input, input["Entries"]);
  if (input["RequestItems"] !== undefined) return halveItems(input, input["RequestItems"]);
  return null;
}

/** Batches of SQS: each entry has an id, and is told to have failed by the service's fault. */
function halveEntries(input: Record<string, unknown>, entries: readonly { Id?: string }[]): Half {
  const kept = Math.ceil(entries.length / 2);
  const Failed = entries
    .slice(kept)
    .map(({ Id }) => ({ Id, Code: "InternalError", SenderFault: false, Message: "of the test" }));
  return { input: { ...input, Entries: entries.slice(0, kept) }, left: { Failed } };
}

/** BatchGetItem (`{ Keys }` by table) and BatchWriteItem (a list by table). */
function halveItems(input: Record<string, unknown>, items: unknown): Half {
  const [[table, of] = ["", []]] = Object.entries(items as Record<string, unknown>);
  if (Array.isArray(of)) {
    const kept = Math.ceil(of.length / 2);
    return {
      input: { ...input, RequestItems: { [table]: of.slice(0, kept) } },
      left: { UnprocessedItems: { [table]: of.slice(kept) } },
    };
  }
  const { Keys, ...rest } = of as { Keys: unknown[] };
  const kept = Math.ceil(Keys.length / 2);
  return {
    input: { ...input, RequestItems: { [table]: { ...rest, Keys: Keys.slice(0, kept) } } },
    left: kept < Keys.length ? { UnprocessedKeys: { [table]: { ...rest, Keys: Keys.slice(kept) } } } : {},
  };
}

const READS = new Set(["GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"]);

function addCapacity(total: { read: number; write: number }, consumed: unknown, command: string): void {
  const list = (Array.isArray(consumed) ? consumed : [consumed]) as (
    { CapacityUnits?: number } | undefined
  )[];
  const units = list.reduce((sum, one) => sum + (one?.CapacityUnits ?? 0), 0);
  if (READS.has(command)) total.read += units;
  else total.write += units;
}
