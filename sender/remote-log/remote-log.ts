/** `log.remote`: each event of mail as msgpack in a datagram of its own, as ZoneMTA sends it to its log server. */

import { Packr } from "msgpackr";

import type { Observer } from "#shared/app/observer.ts";
import type { LogEntry } from "#shared/plugins/views.ts";
import type { Datagrams } from "./datagrams.ts";
import { bounceQueued, deleted, dropped, notQueued, queued, settled } from "./entries.ts";
import type { RemoteEntry } from "./entries.ts";

/** Plain maps: msgpackr's own records no other reader knows. */
const packr = new Packr({ useRecords: false });

export interface RemoteLog extends Observer {
  /** Of an event that plugins tell of; ours are told as they are observed. */
  tell(entry: RemoteEntry | LogEntry): void;
}

export function remoteLog(datagrams: Datagrams): RemoteLog {
  const tell = (entry: RemoteEntry | LogEntry): void => datagrams.send(packr.pack(entry));
  return { ...tellingEntries(tell), tell };
}

/** Tells each event of mail as an entry, to whomever. */
export function tellingEntries(tell: (entry: RemoteEntry) => void): Observer {
  return {
    accepted(message, rows, _durationMs, notes) {
      if (rows.some(({ state }) => state !== "dropped")) tell(queued(message, rows, notes));
      for (const row of rows) {
        if (row.state === "suppressed") tell(dropped(row));
        if (row.state === "dropped") tell(dropped(row, row.lastAttempt?.detail ?? "dropped"));
      }
    },
    notAccepted: (error, origin, mail) => tell(notQueued(error, origin ?? null, mail ?? null)),
    settled: (row, attempt, to, message) => tell(settled(row, attempt, to, message ?? null)),
    settledLate: () => undefined, // the attempt of the worker that has the row is told
    bounceSent: (message, of) => tell(bounceQueued(message, of ?? null)),
    deleted(rows) {
      for (const id of rows) tell(deleted(id));
    },
  };
}
