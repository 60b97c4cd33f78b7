/** So many at once and so many in line, and no more: each question holds a socket while it is out. */

export interface Slots {
  /** Runs `work` when there is room. Null: the line is full, and it will not be run. */
  run<T>(work: () => Promise<T>): Promise<T> | null;
}

export function slots({ max, maxWaiting }: { max: number; maxWaiting: number }): Slots {
  let busy = 0;
  const line: (() => void)[] = [];
  async function held<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      const next = line.shift();
      if (next) next();
      else busy--;
    }
  }
  return {
    run<T>(work: () => Promise<T>) {
      if (busy < max) {
        busy++;
        return held(work);
      }
      if (line.length >= maxWaiting) return null;
      return new Promise<void>((resolve) => {
        line.push(resolve);
      }).then(() => held(work));
    },
  };
}
