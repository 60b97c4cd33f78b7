/** Permits of a lane to begin mails, one at a time, while its site is slowed; as long as it is not, nobody needs any. */

import type { Clock } from "#shared/domain/clock.ts";
import { later } from "#shared/domain/units.ts";
import type { SitePace } from "./slowed-sites.ts";

export interface Permits {
  /** Is there a permit besides those that `promised` jobs will need? If not, one is asked for. */
  has(promised: number): boolean;
  /** A mail begins. */
  use(): void;
  /** True: one is asked for, or waited for. */
  readonly isAsking: boolean;
  /** Ask no more. */
  stop(): void;
}

export interface PermitsDeps {
  readonly pace: SitePace;
  readonly clock: Clock;
  /** There is one, or it is time to ask again. */
  readonly onPermit: () => void;
  readonly onError: (error: unknown) => void;
}

/** After a store that did not answer. */
const NO_ANSWER_RETRY_MS = 1_000;

export function permitsOf({ pace, clock, onPermit, onError }: PermitsDeps): Permits {
  const stopped = new AbortController();
  let held = 0;
  let asking = false;

  async function ask(): Promise<void> {
    if (asking || stopped.signal.aborted) return;
    asking = true;
    const answer = await pace.takePermit().catch((error: unknown) => {
      onError(error);
      return { granted: false, retryAt: later(clock.now(), NO_ANSWER_RETRY_MS) };
    });
    if (answer.granted) held++;
    else await clock.sleep(Math.max(0, answer.retryAt - clock.now()), stopped.signal);
    asking = false;
    if (!stopped.signal.aborted) onPermit();
  }

  return {
    has(promised) {
      if (pace.step === 0 || held > promised) return true;
      void ask().catch(onError);
      return false;
    },
    use() {
      held = Math.max(0, held - 1);
    },
    get isAsking() {
      return asking;
    },
    stop: () => stopped.abort(),
  };
}
