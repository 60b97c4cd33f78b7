/**
 * Plugins that want to know what becomes of mail: `log:entry` at each event, `queue:release`, `queue:bounce` and `queue:delayed` for a
 * recipient. Nothing waits for them, and nothing depends on what they do.
 */

import type { Observer } from "#shared/app/observer.ts";
import { observers } from "#shared/app/observer.ts";
import type { Submit } from "#shared/app/submission.ts";
import { parseAddress } from "#shared/domain/address.ts";
import { DomainError } from "#shared/domain/errors.ts";
import type { Message } from "#shared/domain/message.ts";
import { ownOrigin } from "#shared/domain/message.ts";
import type { AttemptRecord, QueueRow } from "#shared/domain/queue-row.ts";
import { isFinal } from "#shared/domain/queue-row.ts";
import { MIB } from "#shared/domain/units.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { BounceView, MailDrop } from "#shared/plugins/views.ts";
import { tellingEntries } from "./remote-log/remote-log.ts";

/** Of a mail that a plugin hands in. */
const MAX_OWN_BYTES = 30 * MIB;

export function pluginObserver(plugins: Plugins, submit: Submit): Observer {
  const maildrop = mailDrop(submit);
  const recipients: Pick<Observer, "settled"> = {
    settled(row, attempt, settled, message) {
      const { state } = settled;
      if (state === "deferred") {
        if (attempt.late === true && message)
          void plugins.tell(
            "queue:delayed",
            bounceView(row, attempt, message),
            maildrop,
            timesOf(row, attempt),
          );
        return;
      }
      if (isFinal(state)) void plugins.tell("queue:release", row.zone, releaseView(row, attempt));
      if ((state === "bounced" || state === "expired") && message)
        void plugins.tell("queue:bounce", bounceView(row, attempt, message), maildrop);
    },
  };
  const entries = plugins.has("log:entry")
    ? [tellingEntries((entry) => void plugins.tell("log:entry", { ...entry, id: entry.id ?? "" }))]
    : [];
  return observers({ ...DEAF, ...recipients }, ...entries);
}

const DEAF: Observer = {
  accepted: () => undefined,
  notAccepted: () => undefined,
  settled: () => undefined,
  settledLate: () => undefined,
  bounceSent: () => undefined,
};

function bounceView(row: QueueRow, attempt: AttemptRecord, message: Message): BounceView {
  const returnPath = message.returnPath ?? "";
  return {
    ...message.extra,
    id: message.id,
    seq: row.seq.toString(16).padStart(3, "0"),
    to: row.recipient,
    from: returnPath,
    returnPath,
    zone: row.zone,
    interface: message.origin.interface,
    category: attempt.category,
    response: attempt.detail,
    time: new Date(attempt.at),
    fbl: message.fbl,
  };
}

function timesOf(row: QueueRow, attempt: AttemptRecord) {
  const last = new Date(attempt.at);
  return {
    first: row.firstDeferredAt === null ? last : new Date(row.firstDeferredAt),
    prev: row.lastAttempt === null ? null : new Date(row.lastAttempt.at),
    last,
  };
}

function releaseView(row: QueueRow, attempt: AttemptRecord) {
  return {
    id: row.messageId,
    seq: row.seq.toString(16).padStart(3, "0"),
    domain: row.domain,
    to: row.recipient,
    status: { delivered: attempt.kind === "delivered" },
    address: attempt.route.egress,
  };
}

function mailDrop(submit: Submit): MailDrop {
  return {
    async add({ from, to, sendingZone = null }, source) {
      const { messageId } = await submit({
        returnPath: from === "" ? null : addressOf(from),
        recipients: [to].flat().map(addressOf),
        origin: ownOrigin("api"),
        source: once(Buffer.from(source)),
        bareNewlines: "normalise",
        maxBytes: MAX_OWN_BYTES,
        smtputf8: true,
        notBefore: null,
        settings: { zone: sendingZone, notBefore: null, fbl: null, dkimKeys: [], way: null },
      });
      return messageId;
    },
  };
}

function addressOf(text: string) {
  const address = parseAddress(text);
  if (address === null) throw new DomainError("invalid-address", `${JSON.stringify(text)} is no address`);
  return address;
}

async function* once(bytes: Buffer): AsyncIterable<Buffer> {
  yield bytes;
}
