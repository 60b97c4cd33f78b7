/** The use cases of `POST /send` and `POST /send-raw`: what came by HTTP becomes one submission. */

import type { Address } from "../domain/address.ts";
import type { Clock } from "../domain/clock.ts";
import type { ApiConfig } from "../domain/config.ts";
import { DomainError, RefusedError } from "../domain/errors.ts";
import type { HeaderList } from "../domain/headers.ts";
import { allValues } from "../domain/headers.ts";
import type { MessageId } from "../domain/ids.ts";
import { parseIp } from "../domain/ip.ts";
import type { Origin } from "../domain/message.ts";
import type { SenderDirectory, SenderFacts, SenderSettings } from "../ports/sender-directory.ts";
import { mailboxesOf, readAddressText, readOneAddress } from "./address-fields.ts";
import type { Submit, Submitted } from "./submission.ts";
import { peekHeaders } from "./peek-headers.ts";
import type { Composed, ReturnPath } from "./send-json.ts";
import { composeFields } from "./send-json.ts";

export interface SendDeps {
  readonly submit: Submit;
  readonly clock: Clock;
  readonly api: Pick<ApiConfig, "maildrop" | "maxSize" | "maxRecipients">;
  readonly maxDelayMs: number;
  /** Asked about the sender of each mail; null: nobody is. */
  readonly senders: SenderDirectory | null;
}

/** Who handed the mail in. */
export interface Client {
  /** Peer of the HTTP connection; null: unknown. */
  readonly sourceIp: string | null;
  /** X-Originating-IP: a client tells whose mail it hands on; null: it does not. */
  readonly originatingIp: string | null;
  /** X-Authenticated-User; null: not said. */
  readonly user: string | null;
}

export interface RawEnvelope {
  /** Null: the first address of From, else of Sender. Empty: `<>`. */
  readonly from: string | null;
  /** Null: those of To, Cc and Bcc. */
  readonly to: readonly string[] | null;
}

export interface Send {
  /** `fields` is JSON as it came; `id` is as in Submission, left out: a new one. */
  fields(fields: unknown, client: Client, id?: MessageId): Promise<Submitted>;
  raw(
    source: AsyncIterable<Buffer>,
    envelope: RawEnvelope,
    client: Client,
    id?: MessageId,
  ): Promise<Submitted>;
  /** Throws not-found when mail is not taken by HTTP (`api.maildrop`), so that nothing is read for it. */
  assertOpen(): void;
}

export function sendUseCases(deps: SendDeps): Send {
  const assertOpen = (): void => {
    if (!deps.api.maildrop)
      throw new DomainError("not-found", "mail is not taken by HTTP here (api.maildrop is false)");
  };
  return {
    assertOpen,
    async fields(fields, client, id) {
      assertOpen();
      const origin = originOf(client);
      const composed = composeFields(fields, { now: deps.clock.now(), maxDelayMs: deps.maxDelayMs });
      return submitFrom(deps, composed, { origin, id });
    },
    async raw(source, envelope, client, id) {
      assertOpen();
      const origin = originOf(client);
      const from = envelope.from === null ? null : { address: readReturnPath(envelope.from) };
      const to = envelope.to?.map((text, i) => readOneAddress(text, `to[${i}]`)) ?? null;
      return submitFrom(deps, { envelope: { from, to }, notBefore: null, source }, { origin, id });
    },
  };
}

async function submitFrom(
  deps: SendDeps,
  composed: Composed,
  { origin, id }: { origin: Origin; id: MessageId | undefined },
): Promise<Submitted> {
  const { envelope, source } = await completeEnvelope(composed);
  if (envelope.to.length > deps.api.maxRecipients) {
    const text = `${envelope.to.length} recipients are too many; send to at most ${deps.api.maxRecipients} at once`;
    throw new DomainError("too-many-recipients", text, "to");
  }
  if (envelope.to.length === 0) {
    throw new DomainError(
      "no-recipients",
      "Empty recipients list: name at least one in to, cc, bcc or the envelope",
      "to",
    );
  }
  const returnPath = envelope.from.address;
  const settings = deps.senders && (await settingsOf(deps.senders, { returnPath, origin }));
  return deps.submit({
    returnPath,
    recipients: envelope.to,
    origin,
    source,
    bareNewlines: "normalise",
    maxBytes: deps.api.maxSize,
    smtputf8: true,
    notBefore: composed.notBefore,
    ...(settings && { settings }),
    ...(id === undefined ? {} : { id }),
  });
}

/** Throws `forbidden` when the sender is refused for good, `refused` with its 4yz when for now; a directory that fails is a fault. */
async function settingsOf(senders: SenderDirectory, sender: SenderFacts): Promise<SenderSettings> {
  const answer = await senders.lookUp(sender);
  if (answer.kind === "settings") return answer.settings;
  if (answer.code >= 500) throw new DomainError("forbidden", answer.text, "from");
  throw new RefusedError({ code: answer.code, text: answer.text });
}

interface CompleteEnvelope {
  readonly from: ReturnPath;
  readonly to: readonly Address[];
}

/** What the envelope does not say is read from the headers of the message. */
async function completeEnvelope(
  composed: Composed,
): Promise<{ envelope: CompleteEnvelope; source: AsyncIterable<Buffer> }> {
  const { from, to } = composed.envelope;
  if (from !== null && to !== null) return { envelope: { from, to }, source: composed.source };
  const { headers, source } = await peekHeaders(composed.source);
  return { envelope: { from: from ?? senderIn(headers), to: to ?? recipientsIn(headers) }, source };
}

function senderIn(headers: HeaderList): ReturnPath {
  for (const name of ["from", "sender"]) {
    const first = addressesIn(headers, name)[0];
    if (first !== undefined) return { address: first };
  }
  throw new DomainError(
    "invalid-request",
    "the message has neither From nor Sender; add one, or name the return path",
    "from",
  );
}

function recipientsIn(headers: HeaderList): Address[] {
  return ["to", "cc", "bcc"].flatMap((name) => addressesIn(headers, name));
}

/** An address that cannot be read is refused: left out, its mail would be lost without a word. */
function addressesIn(headers: HeaderList, name: string): Address[] {
  const items = allValues(headers, name).flatMap((value) => readAddressText(value, `headers.${name}`));
  return mailboxesOf(items).map(({ address }) => address);
}

function readReturnPath(text: string): Address | null {
  return text === "" || text === "<>" ? null : readOneAddress(text, "from");
}

/** Throws for headers of the request that are not what they should be. */
function originOf(client: Client): Origin {
  const ip = client.originatingIp === null ? client.sourceIp : parseIp(client.originatingIp.trim());
  if (client.originatingIp !== null && ip === null) {
    throw new DomainError("invalid-request", "X-Originating-IP is not an IP address", "X-Originating-IP");
  }
  if (client.user !== null && !/^[^\x00-\x1f\x7f-\x9f]{1,256}$/u.test(client.user)) {
    const text = "X-Authenticated-User has control characters or is longer than 256 characters";
    throw new DomainError("invalid-header", text, "X-Authenticated-User");
  }
  return { interface: "api", protocol: "HTTP", ip, host: null, helo: null, user: client.user, tls: null };
}
