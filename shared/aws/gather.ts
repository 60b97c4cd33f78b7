/**
 * Gathers what many callers ask for at the same time into few calls. An idle gatherer adds no wait: the first item goes at the
 * end of the event turn, with all that came in it. While a call is under way items collect, and go when it is back or when
 * they fill a call.
 */

export interface GatherOptions<Item, Answer> {
  /** Items that a call takes. */
  readonly maxItems: number;
  /** Full calls under way at once. */
  readonly maxCalls: number;
  /** Two items of one key never go in one call; left out: any do. */
  readonly keyOf?: (item: Item) => string;
  /** How long an item waits for company, unless its call is full before; left out: to the end of the event turn. */
  readonly linger?: () => Promise<void>;
  /** An answer for each item, in order. When it rejects, so do all items of the call. */
  readonly call: (items: readonly Item[]) => Promise<readonly Answer[]>;
}

/** A call that is not full goes only while fewer than these are under way: one that is stuck must not hold up all. */
const PARTIAL_CALLS = 2;
/** Items waiting for a call; more are refused, for a store that is so far behind must be felt where mail comes in. */
const MAX_WAITING = 20_000;

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** More items wait for calls than can be meant to. */
class TooManyWaitingError extends Error {
  override readonly name = "TooManyWaitingError";
}

export function gatherer<Item, Answer>(
  options: GatherOptions<Item, Answer>,
): (item: Item) => Promise<Answer> {
  const { maxItems, maxCalls, keyOf, linger, call } = options;
  let waiting: Waiting<Item, Answer>[] = [];
  let underWay = 0;
  let scheduled = false;

  function schedule(): void {
    if (linger && waiting.length >= maxItems) start(maxItems);
    if (scheduled || waiting.length === 0) return;
    scheduled = true;
    void (linger ?? endOfTurn)().then(() => {
      scheduled = false;
      start();
    });
  }

  /** Calls for what waits, as long as it is so much. */
  function start(least = 1): void {
    while (waiting.length >= least && underWay < (waiting.length < maxItems ? PARTIAL_CALLS : maxCalls)) {
      void run(nextItems());
    }
  }

  function nextItems(): Waiting<Item, Answer>[] {
    const chosen: Waiting<Item, Answer>[] = [];
    const left: Waiting<Item, Answer>[] = [];
    const keys = new Set<string>();
    for (const entry of waiting) {
      const key = keyOf?.(entry.item);
      if (chosen.length >= maxItems || (key !== undefined && keys.has(key))) left.push(entry);
      else chosen.push(entry);
      if (key !== undefined) keys.add(key);
    }
    waiting = left;
    return chosen;
  }

  async function run(entries: readonly Waiting<Item, Answer>[]): Promise<void> {
    underWay++;
    try {
      const answers = await call(entries.map(({ item }) => item));
      entries.forEach(({ resolve }, i) => resolve(answers[i] as Answer));
    } catch (error) {
      for (const { reject } of entries) reject(error);
    } finally {
      underWay--;
      if (linger) schedule();
      else start();
    }
  }

  return (item) => {
    if (waiting.length >= MAX_WAITING) {
      return Promise.reject(new TooManyWaitingError(`${MAX_WAITING} items wait for a call already`));
    }
    return new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      schedule();
    });
  };
}

function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
