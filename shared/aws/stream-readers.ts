/**
 * How AWS gives the table's stream of changes to the Lambdas that read it: which records, and how many at once. The stacks and the
 * local front door both go by it.
 *
 * A record that a reader has no use for, such as that of a lease, is left out by AWS before the Lambda is called, at no price.
 */

import { MARK } from "./batch-statement.ts";
import { TELLS } from "./event-stream.ts";
import { KINDS, PARTITION_KEY } from "./keys.ts";

/** Names of Lambdas. */
export type StreamReader = "events" | "notify";

export interface StreamTerms {
  /** First letters of the marks of the writes that it is given. */
  readonly marks: readonly string[];
  /** Records at most. There is no window: AWS asks each shard four times a second, and mail waits for its signal. */
  readonly batchSize: number;
}

const BATCH_SIZE = 1_000;

export const STREAM_READERS: Readonly<Record<StreamReader, StreamTerms>> = {
  /** New mail to be signalled, and what reports are made of. */
  events: {
    batchSize: BATCH_SIZE,
    marks: [
      TELLS["reception-to-signal"],
      TELLS["reception-with-suppressed"],
      TELLS.deferral,
      TELLS.bounce,
      TELLS.expiry,
      TELLS.suppression,
    ],
  },
  /** All that receivers may want to be told of. */
  notify: { batchSize: BATCH_SIZE, marks: Object.values(TELLS) },
};

/** For the filter of the event source mapping. */
export function filterPattern({ marks }: StreamTerms) {
  const isMail = { [PARTITION_KEY]: { S: [{ prefix: KINDS.message }] } };
  const tells = { [MARK]: { S: marks.map((mark) => ({ prefix: mark })) } };
  return { dynamodb: { Keys: isMail, NewImage: tells } };
}

type Texts = Readonly<Record<string, { readonly S?: string | undefined }>>;

/** The part of a record of the stream that is looked at; Lambda's `DynamoDBRecord` fits. */
interface ChangeRecord {
  readonly dynamodb?:
    { readonly Keys?: Texts | undefined; readonly NewImage?: Texts | undefined } | undefined;
}

/** What the filter lets through. */
export function isForReader({ marks }: StreamTerms, { dynamodb }: ChangeRecord): boolean {
  const mark = dynamodb?.NewImage?.[MARK]?.S ?? "";
  const partition = dynamodb?.Keys?.[PARTITION_KEY]?.S ?? "";
  return partition.startsWith(KINDS.message) && marks.some((letter) => mark.startsWith(letter));
}
