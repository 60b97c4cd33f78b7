/**
 * Calls of one kind that come at the same time go out as one: an SDK call costs the same for one key as for a hundred.
 *
 * Nobody waits for company: a call goes out at the end of the turn of the event loop in which it was asked for, unless as many
 * calls as may be are out already; what is asked for meanwhile goes with the next one. So an idle process answers at once and a
 * busy one makes few calls.
 */

/** Calls out at once. Two, so that one slow answer does not hold up everything. */
const MAX_OUT = 2;

interface Waiting<Value> {
  readonly key: string;
  readonly resolve: (value: Value | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** `ask` is given different keys, at most `maxKeys`; a key missing in its answer has no value. */
export function gathered<Value>(
  maxKeys: number,
  ask: (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>,
): (key: string) => Promise<Value | undefined> {
  const waiting: Waiting<Value>[] = [];
  let out = 0;
  let scheduled = false;

  function schedule(): void {
    if (scheduled || out >= MAX_OUT || waiting.length === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      void send();
      schedule();
    });
  }

  /** Answers everybody it took; it never rejects. */
  async function send(): Promise<void> {
    const taken = takeKeys(waiting, maxKeys);
    if (taken.length === 0) return;
    out++;
    try {
      const values = await ask([...new Set(taken.map(({ key }) => key))]);
      for (const { key, resolve } of taken) resolve(values.get(key));
    } catch (error) {
      for (const { reject } of taken) reject(error);
    } finally {
      out--;
      schedule();
    }
  }

  return (key) =>
    new Promise((resolve, reject) => {
      waiting.push({ key, resolve, reject });
      schedule();
    });
}

/** From the front, until there are `maxKeys` different keys. */
function takeKeys<Value>(waiting: Waiting<Value>[], maxKeys: number): Waiting<Value>[] {
  const keys = new Set<string>();
  let count = 0;
  for (const { key } of waiting) {
    if (keys.size === maxKeys && !keys.has(key)) break;
    keys.add(key);
    count++;
  }
  return waiting.splice(0, count);
}
