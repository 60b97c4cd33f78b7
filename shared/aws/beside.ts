/**
 * Work that follows from a call and that its caller need not wait for, such as sending signals: done behind the call in a process
 * that lives on, and within it in a Lambda, which is frozen as soon as it has answered.
 */

export interface Beside {
  /** Never rejects for the work's sake: the work tells itself what went wrong. */
  run(work: () => Promise<unknown>): Promise<void>;
  /** Resolves when nothing is under way any more. */
  end(): Promise<void>;
}

export function beside({ livesOn }: { livesOn: boolean }): Beside {
  const underWay = new Set<Promise<unknown>>();
  return {
    async run(work) {
      const done = work()
        .catch(() => undefined)
        .finally(() => underWay.delete(done));
      underWay.add(done);
      if (!livesOn) await done;
    },
    async end() {
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}
