/**
 * Writes of single items, each with its own condition, many in one call: `BatchExecuteStatement` takes 25 at the price of 25
 * single writes and the CPU of one call. A transaction would cost each of them twice and is not needed, for no write here
 * depends on another.
 *
 * W1  A condition is that attributes are as they were seen: what lost a race is refused, and nothing is written.
 * W2  Every write carries a mark of its own. A write that was done and whose answer was lost is refused when it is sent again;
 *     the mark that lies in the item tells it from a lost race.
 * W3  A statement that was throttled or met a conflict is sent again a bounded number of times; the others of its call are not.
 *
 * A server that stands in for DynamoDB and does not do such statements as it does gets the same writes one by one (`statementCheck`).
 */

import {
  BatchExecuteStatementCommand,
  ConditionalCheckFailedException,
  DeleteItemCommand,
  PutItemCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import type { BatchStatementError, BatchStatementRequest } from "@aws-sdk/client-dynamodb";

import { hasName } from "./aws-errors.ts";
import { newMark } from "./conditions.ts";
import { gatherer } from "./gather.ts";
import { getItems, marshal, MAX_TRIES, pauseBefore } from "./items.ts";
import type { Attributes, TableDeps, Value } from "./items.ts";
import { KINDS, PARTITION_KEY, SORT_KEY } from "./keys.ts";
import type { ItemKey } from "./keys.ts";

/**
 * Name of the attribute with the mark of the write that wrote the item last. Its first letter says what the write tells of, so
 * that the stream of changes is a stream of events (event-stream.ts).
 */
export const MARK = "k";
/** First letter of a mark that tells of nothing. */
const TELLS_NOTHING = "-";

export type Values = Readonly<Record<string, Value>>;

/**
 * - `insert` when there is no item of that key · `update` when the item is as `when` says
 * - `delete` when the item is as `when` says
 */
export type ItemWrite =
  | { readonly kind: "insert"; readonly key: ItemKey; readonly set: Values; readonly tells?: string }
  | {
      readonly kind: "update";
      readonly key: ItemKey;
      readonly set: Values;
      /** Attributes to take away. More than one makes it a call of its own. */
      readonly remove?: readonly string[];
      readonly when: Values;
      /** One letter; left out: the write tells of nothing. */
      readonly tells?: string;
    }
  | { readonly kind: "delete"; readonly key: ItemKey; readonly when: Values };

/** `refused`: the condition did not hold; with the item as it is, null when there is none. */
export type WriteAnswer =
  { readonly kind: "written" } | { readonly kind: "refused"; readonly item: Record<string, Value> | null };

/** Resolves when the write is durable, or refused. Rejects when it is not known which. */
export type WriteItem = (write: ItemWrite) => Promise<WriteAnswer>;

const MAX_STATEMENTS = 25;
const MAX_CALLS = 16;

interface MarkedWrite {
  readonly write: ItemWrite;
  readonly mark: string;
}

type Tried = { kind: "written" } | { kind: "refused" } | { kind: "failed"; error: unknown };

export function itemWriter(deps: TableDeps, takesStatements: TakesStatements): WriteItem {
  async function runBatch(writes: readonly MarkedWrite[]): Promise<Tried[]> {
    const answers = new Map<MarkedWrite, Tried>();
    const together = await takesStatements();
    let left = writes;
    for (let tried = 1; left.length > 0; tried++) {
      const errors = together ? await send(deps, left) : null;
      const again: MarkedWrite[] = [];
      for (const [i, write] of left.entries()) {
        const error = errors?.[i] ?? null;
        if (!together || error?.Code === "ValidationError") answers.set(write, await runAlone(deps, write));
        else if (error && isPassing(error) && tried < MAX_TRIES) again.push(write);
        else answers.set(write, answerOf(error));
      }
      left = again;
      if (left.length > 0) await pauseBefore(deps, tried);
    }
    return writes.map((write) => answers.get(write) as Tried);
  }

  const gathered = gatherer<MarkedWrite, Tried>({
    maxItems: MAX_STATEMENTS,
    maxCalls: MAX_CALLS,
    keyOf: ({ write: { key } }) => `${key.PK} ${key.SK}`,
    call: runBatch,
  });

  return async (write) => {
    const tells = write.kind === "delete" ? undefined : write.tells;
    const marked = { write, mark: (tells ?? TELLS_NOTHING) + newMark() };
    const isAlone = write.kind === "update" && (write.remove?.length ?? 0) > 1;
    const tried = await (isAlone ? runAlone(deps, marked) : gathered(marked)).catch(failed);
    if (tried.kind === "written") return tried;
    if (tried.kind === "refused") return await whoWrote(deps, marked);
    // It is not known whether it was done: no answer came. If it lies there, it was.
    if (!isThrottle(tried.error)) {
      const answer = await whoWrote(deps, marked).catch(() => null);
      if (answer?.kind === "written") return answer;
    }
    throw tried.error;
  };
}

function failed(error: unknown): Tried {
  return { kind: "failed", error };
}

/** Refused by another's write, or by our own that was done before (W2). */
async function whoWrote(deps: TableDeps, { write, mark }: MarkedWrite): Promise<WriteAnswer> {
  const [item] = await getItems(deps, [write.key], { consistent: true });
  if (item && item[MARK] === mark) return { kind: "written" };
  return { kind: "refused", item: item ?? null };
}

/** The error of each statement. */
async function send(
  { dynamo, table }: TableDeps,
  writes: readonly MarkedWrite[],
): Promise<(BatchStatementError | null)[]> {
  const { Responses = [] } = await dynamo.send(
    new BatchExecuteStatementCommand({ Statements: writes.map((write) => statementOf(table, write)) }),
  );
  return writes.map((_, i) => Responses[i]?.Error ?? null);
}

/** Whether the server does our statements as DynamoDB does them. */
export type TakesStatements = () => Promise<boolean>;

/**
 * Asks a server that stands in for DynamoDB, before the first write and once. Some have no such call; others read an update and
 * write it whether its conditions hold or not, so that two workers would lease one row. AWS itself is not asked.
 */
export function statementCheck(deps: TableDeps): TakesStatements {
  let known: Promise<boolean> | null = null;
  return () => {
    known ??= isDynamo(deps).catch((error: unknown) => {
      known = null; // it was out of order, which says nothing
      throw error;
    });
    return known;
  };
}

const CHECK_KEY = { PK: `${KINDS.check}statements`, SK: "there" };
const CHECK_INSERT: ItemWrite = { kind: "insert", key: CHECK_KEY, set: { t: 1 } };
const CHECK_UPDATE: ItemWrite = {
  kind: "update",
  key: { ...CHECK_KEY, SK: "missing" },
  set: { t: 2 },
  remove: ["d"],
  when: { t: 1 },
};

/** Both must be refused: an item put where one is, and the change of one that is not there. */
async function isDynamo(deps: TableDeps): Promise<boolean> {
  if (deps.dynamo.config.endpoint === undefined) return true;
  const mark = TELLS_NOTHING + newMark();
  const insert = { write: CHECK_INSERT, mark };
  try {
    await send(deps, [insert]); // the item stays, and may be there from another process
    const errors = await send(deps, [insert, { write: CHECK_UPDATE, mark }]);
    return errors[0]?.Code === "DuplicateItem" && errors[1]?.Code === "ConditionalCheckFailed";
  } catch (error) {
    if (isUnknownCall(error)) return false;
    throw error;
  }
}

/** Some local servers answer a call that they do not have with a page, which the SDK cannot read as JSON. */
function isUnknownCall(error: unknown): boolean {
  return hasName(error, "UnknownOperationException") || error instanceof SyntaxError;
}

function isThrottle(error: unknown): boolean {
  return ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"].some(
    (name) => hasName(error, name),
  );
}

function answerOf(error: BatchStatementError | null): Tried {
  if (!error) return { kind: "written" };
  if (error.Code === "ConditionalCheckFailed" || error.Code === "DuplicateItem") return { kind: "refused" };
  return { kind: "failed", error: new Error(`DynamoDB refused a write: ${error.Code}: ${error.Message}`) };
}

const PASSING: ReadonlySet<string> = new Set([
  "InternalServerError",
  "ProvisionedThroughputExceeded",
  "RequestLimitExceeded",
  "ThrottlingError",
  "TransactionConflict",
]);

function isPassing({ Code }: BatchStatementError): boolean {
  return Code !== undefined && PASSING.has(Code);
}

/** Names are in quotes: some of ours may be words of the language. */
function statementOf(table: string, { write, mark }: MarkedWrite): BatchStatementRequest {
  const { key } = write;
  if (write.kind === "insert") {
    const values = marshal({ ...key, ...write.set, [MARK]: mark });
    const fields = Object.keys(values).map((name) => `'${name}': ?`);
    return {
      Statement: `INSERT INTO "${table}" VALUE {${fields.join(", ")}}`,
      Parameters: Object.values(values),
    };
  }
  const when = marshal({ [PARTITION_KEY]: key.PK, [SORT_KEY]: key.SK, ...write.when });
  const where = `WHERE ${equations(when).join(" AND ")}`;
  if (write.kind === "delete")
    return { Statement: `DELETE FROM "${table}" ${where}`, Parameters: Object.values(when) };
  const set = marshal({ ...write.set, [MARK]: mark });
  const remove = (write.remove ?? []).map((name) => `REMOVE "${name}"`);
  return {
    Statement: [`UPDATE "${table}" SET ${equations(set).join(", ")}`, ...remove, where].join(" "),
    Parameters: [...Object.values(set), ...Object.values(when)],
  };
}

function equations(values: Attributes): string[] {
  return Object.keys(values).map((name) => `"${name}" = ?`);
}

async function runAlone(deps: TableDeps, marked: MarkedWrite): Promise<Tried> {
  try {
    await sendAlone(deps, marked);
    return { kind: "written" };
  } catch (error) {
    return error instanceof ConditionalCheckFailedException ? { kind: "refused" } : { kind: "failed", error };
  }
}

async function sendAlone({ dynamo, table }: TableDeps, { write, mark }: MarkedWrite): Promise<void> {
  const key = marshal({ ...write.key });
  if (write.kind === "insert") {
    const Item = { ...key, ...marshal({ ...write.set, [MARK]: mark }) };
    await dynamo.send(
      new PutItemCommand({
        TableName: table,
        Item,
        ConditionExpression: `attribute_not_exists(${PARTITION_KEY})`,
      }),
    );
    return;
  }
  const names = namer();
  const conditions = Object.entries(write.when).map(
    ([name, value]) => `${names.of(name)} = ${names.value(value)}`,
  );
  const condition = [`attribute_exists(${PARTITION_KEY})`, ...conditions].join(" AND ");
  if (write.kind === "delete") {
    await dynamo.send(
      new DeleteItemCommand({ TableName: table, Key: key, ConditionExpression: condition, ...names.given() }),
    );
    return;
  }
  const set = Object.entries({ ...write.set, [MARK]: mark }).map(
    ([name, value]) => `${names.of(name)} = ${names.value(value)}`,
  );
  const remove = (write.remove ?? []).map((name) => names.of(name));
  const UpdateExpression = [
    `SET ${set.join(", ")}`,
    ...(remove.length > 0 ? [`REMOVE ${remove.join(", ")}`] : []),
  ];
  await dynamo.send(
    new UpdateItemCommand({
      TableName: table,
      Key: key,
      UpdateExpression: UpdateExpression.join(" "),
      ConditionExpression: condition,
      ...names.given(),
    }),
  );
}

/** Placeholders of an expression. */
function namer() {
  const names: Record<string, string> = {};
  const values: Record<string, Value> = {};
  return {
    of(name: string): string {
      names[`#${name}`] = name;
      return `#${name}`;
    },
    value(value: Value): string {
      const placeholder = `:${Object.keys(values).length}`;
      values[placeholder] = value;
      return placeholder;
    },
    given: () => ({
      ...(Object.keys(names).length > 0 ? { ExpressionAttributeNames: names } : {}),
      ...(Object.keys(values).length > 0 ? { ExpressionAttributeValues: marshal(values) } : {}),
    }),
  };
}
