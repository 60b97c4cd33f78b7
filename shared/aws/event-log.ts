/**
 * On AWS events are the table's stream of changes, read by the Lambda for events (lambdas/events.ts), which keeps its place by
 * itself. There is no second list of them, which would cost each mail two writes more: nobody gets a claim to read one, and who
 * asks for it is told so.
 */

import { DomainError } from "../domain/errors.ts";
import type { EventLog } from "../ports/event-log.ts";

export function streamedEventLog(): EventLog {
  return {
    read: () =>
      Promise.reject(
        new DomainError(
          "not-found",
          "this installation keeps no list of events: they are read from the stream of its table",
        ),
      ),
    claim: () => Promise.resolve(null),
    advance: () => Promise.resolve(false),
    dropReader: () => Promise.resolve(),
  };
}
