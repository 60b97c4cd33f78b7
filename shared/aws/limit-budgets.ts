/**
 * Rates that all senders share: `l#r#<key>`, `s` holds the window of `domain/rate-window.ts` as text. A grant replaces the window
 * on the condition that it is the one that was seen; who comes too late looks again. Exact as far as the clocks of the senders
 * agree: one that is ahead sees permits come back that much early.
 *
 * A window that was seen full stays full until its `retryAt`, whoever else asks, so that until then this process refuses without
 * a call. When the table does not answer, the call fails; a grant whose answer is lost counts, and is not used.
 */

import { PutItemCommand } from "@aws-sdk/client-dynamodb";
import { LRUCache } from "lru-cache";
import * as z from "zod";

import type { Grant } from "../domain/rate-window.ts";
import { takeFromWindow } from "../domain/rate-window.ts";
import type { Rate } from "../domain/throttle.ts";
import type { EpochMs } from "../domain/units.ts";
import { DAY } from "../domain/units.ts";
import type { LimitStore } from "../ports/limit-store.ts";
import { newMark, writtenAt } from "./conditions.ts";
import type { TableDeps, Value } from "./items.ts";
import { expiresAt, getItem, marshal, MAX_TRIES, pauseBefore } from "./items.ts";
import type { ItemKey } from "./keys.ts";
import { PARTITION_KEY } from "./keys.ts";
import { limitKey } from "./limit-keys.ts";
import { oneAtATime } from "./one-at-a-time.ts";

const MAX_REMEMBERED = 5_000;
/** A window is of no use when its last grant has ended; the day is for an operator who looks. */
const KEPT_MS = DAY;

interface Window {
  /** Of the write that made it; null: there is no window yet. */
  readonly mark: string | null;
  readonly grants: readonly Grant[];
}

interface Taken {
  readonly granted: number;
  readonly retryAt: EpochMs;
}

const NO_WINDOW: Window = { mark: null, grants: [] };
const WindowSchema = z.object({ mark: z.string(), grants: z.string() });

export function budgetsIn(deps: TableDeps): Pick<LimitStore, "takeBudget"> {
  const { clock } = deps;
  const remembered = new LRUCache<string, Window>({ max: MAX_REMEMBERED });
  const inTurn = oneAtATime();

  async function read(key: ItemKey): Promise<Window> {
    const item = await getItem(deps, key);
    return item ? windowOf(item) : NO_WINDOW;
  }

  async function take(key: ItemKey, want: number, rate: Rate): Promise<Taken> {
    let window = remembered.get(key.PK) ?? (await read(key));
    for (let tried = 1; tried <= MAX_TRIES; tried++) {
      const { granted, retryAt, grants } = takeFromWindow(window.grants, { want, rate, now: clock.now() });
      // A refusal changes nothing, but for grants that the clock, set back, had left in the future: they were moved to now.
      if (granted === 0 && grants.at(-1)?.at === window.grants.at(-1)?.at) {
        remembered.set(key.PK, window);
        return { granted, retryAt };
      }
      const next: Window = { mark: newMark(), grants };
      const there = await replace(deps, key, { window, next, rate });
      if (there === null) {
        remembered.set(key.PK, next);
        return { granted, retryAt };
      }
      window = there;
      if (tried > 1) await pauseBefore(deps, tried);
    }
    remembered.delete(key.PK);
    throw new Error(`too many senders take from the rate ${key.PK} at once`);
  }

  return {
    /** 1 write unit for a grant, none for a refusal; 1 read unit when the window is not known here. */
    takeBudget(name, { want, rate }) {
      const key = limitKey("r", name);
      return inTurn(key.PK, () => take(key, want, rate));
    },
  };
}

/** Null: the window is `next` now. Else it is what it says, and nothing was written. */
async function replace(
  deps: TableDeps,
  key: ItemKey,
  { window, next, rate }: { window: Window; next: Window; rate: Rate },
): Promise<Window | null> {
  const last = next.grants.at(-1)?.at ?? deps.clock.now();
  const result = await writtenAt(
    deps,
    key,
    deps.dynamo.send(
      new PutItemCommand({
        TableName: deps.table,
        Item: marshal({
          ...key,
          mark: next.mark,
          grants: textOf(next.grants),
          ...expiresAt(last, rate.perMs + KEPT_MS),
        }),
        ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        ...(window.mark === null
          ? { ConditionExpression: `attribute_not_exists(${PARTITION_KEY})` }
          : {
              ConditionExpression: "#mark = :mark",
              ExpressionAttributeNames: { "#mark": "mark" },
              ExpressionAttributeValues: marshal({ ":mark": window.mark }),
            }),
      }),
    ),
  );
  if (result.kind === "written") return null;
  const there = result.item ? windowOf(result.item) : NO_WINDOW;
  return there.mark === next.mark ? null : there;
}

function windowOf(item: Readonly<Record<string, Value>>): Window {
  const { mark, grants } = WindowSchema.parse(item);
  return { mark, grants: grantsOf(grants) };
}

/** `<at>:<count>`, in base 36, so that a full window of 65 grants is less than 1 KiB: one write unit. */
function textOf(grants: readonly Grant[]): string {
  return grants.map(({ at, count }) => `${at.toString(36)}:${count.toString(36)}`).join(" ");
}

function grantsOf(text: string): Grant[] {
  if (text === "") return [];
  return text.split(" ").map((grant) => {
    const [at = "", count = ""] = grant.split(":");
    return { at: Number.parseInt(at, 36) as EpochMs, count: Number.parseInt(count, 36) };
  });
}
