/**
 * Deliveries as plugins see and change them. A delivery that a plugin looks at before it is sent is of one recipient alone, and
 * `Job.view` is what is seen of it; what a plugin has said of the next hop, the egress address and the waits is read from there.
 *
 * A hook that fails defers the recipient, and one that says so refuses him: both are outcomes like any other.
 */

import type { Socket } from "node:net";

import type { Address } from "#shared/domain/address.ts";
import { parseAddress } from "#shared/domain/address.ts";
import { RefusedError } from "#shared/domain/errors.ts";
import { parseHeaders } from "#shared/domain/headers.ts";
import type { Message } from "#shared/domain/message.ts";
import { originFields } from "#shared/domain/message.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import { bounced, deferred } from "#shared/domain/outcome.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import { printReply, smtpReply } from "#shared/domain/smtp-reply.ts";
import type { Way } from "#shared/domain/way.ts";
import type { ConnectView, HookArguments, HookName } from "#shared/plugins/hooks.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import { DroppedError, PluginError } from "#shared/plugins/verdict.ts";
import type { DeliveryView, EgressView, ResponseError } from "#shared/plugins/views.ts";
import { readWay } from "#shared/app/ways.ts";
import type { Job } from "./job.ts";

export type Fetched =
  /** `way` is the recipient's own; null: that of the zone. */
  | { readonly kind: "go"; readonly way: Way | null }
  | { readonly kind: "suppressed" }
  | { readonly kind: "dropped"; readonly reason: string }
  | { readonly kind: "ended"; readonly outcome: Outcome };

/** What is sent in place of what is stored. */
export interface ChangedContent {
  /** Null: the stored one. */
  readonly block: Buffer | null;
  /** Null: as without plugins. */
  readonly returnPath: { readonly address: Address | null } | null;
  readonly recipient: Address;
}

export class DeliveryHooks {
  readonly #plugins: Plugins;

  constructor(plugins: Plugins) {
    this.#plugins = plugins;
  }

  /** True: deliveries are looked at before they are sent, so each is of one recipient. */
  get oneByOne(): boolean {
    return this.#plugins.oneByOne;
  }

  get seesHeaders(): boolean {
    return this.#plugins.has("sender:headers");
  }

  /** `sender:fetch`. */
  async fetch(view: DeliveryView, way: Way | null): Promise<Fetched> {
    Object.assign(view, wayFields(way));
    const before = JSON.stringify(wayFieldsOf(view));
    try {
      await this.#plugins.run("sender:fetch", view);
      if (view.zoneAddress) chosenEgress.set(view, view.zoneAddress.address);
      if (view.isSuppressed === true) return { kind: "suppressed" };
      const fields = wayFieldsOf(view);
      return { kind: "go", way: JSON.stringify(fields) === before ? way : readWay(fields) };
    } catch (error) {
      if (error instanceof DroppedError) return { kind: "dropped", reason: error.description };
      return { kind: "ended", outcome: this.#outcomeOf(error, "sender:fetch") };
    }
  }

  /** `sender:connect`, from `egress`: null goes on, with the socket that a plugin has given if it has. */
  async connect(
    view: DeliveryView,
    options: ConnectView,
    egress: EgressView,
  ): Promise<{ socket: Socket | null } | Outcome> {
    view.zoneAddress = egress;
    try {
      await this.#plugins.run("sender:connect", view, options);
      return { socket: options.socket ?? null };
    } catch (error) {
      return this.#outcomeOf(error, "sender:connect");
    }
  }

  /** `sender:headers`. */
  async headers(
    view: DeliveryView,
    block: Buffer,
    message: Message,
    connection: object,
  ): Promise<ChangedContent | Outcome> {
    const { mime } = this.#plugins;
    const stored = parseHeaders(block);
    view.headers = mime.headersView(stored);
    try {
      await this.#plugins.run("sender:headers", view, connection);
      const headers = mime.headersFrom(view.headers, stored);
      return {
        block:
          headers === stored
            ? null
            : Buffer.from(`${headers.map(({ line }) => line).join("")}\r\n`, "latin1"),
        returnPath: returnPathIn(view, message),
        recipient: addressIn(view.envelope.to, "to"),
      };
    } catch (error) {
      return this.#outcomeOf(error, "sender:headers");
    }
  }

  /** `sender:connection`, whose errors change nothing. It is waited for: it may give keys to sign with, as ZoneMTA's own plugin does. */
  async connection(view: DeliveryView, connection: object): Promise<void> {
    try {
      await this.#plugins.run("sender:connection", view, connection);
    } catch (error) {
      const plugin = error instanceof PluginError ? error.plugin : null;
      const fields = { component: "plugin", plugin, hook: "sender:connection", err: error };
      this.#plugins.log.warn(fields, "hook failed");
    }
  }

  /** Hooks that nobody waits for, and whose errors change nothing. */
  tell<N extends HookName>(name: N, ...args: HookArguments[N]): void {
    void this.#plugins.tell(name, ...args);
  }

  /**
   * Write what came of an attempt, and ask or tell plugins of it: `sender:responseError` before a failure is written, since it may
   * change what that means, and `sender:delivered` after. What was delivered is written before anybody is asked, so that nothing is
   * sent twice whatever a plugin does, ending the process too.
   */
  async settle(
    job: Omit<Job, "egressKey">,
    outcomes: readonly Outcome[],
    write: (leases: readonly Lease[], outcomes: readonly Outcome[]) => Promise<void>,
  ): Promise<void> {
    if (!this.#plugins.has("sender:delivered", "sender:responseError")) return write(job.leases, outcomes);
    const ends = outcomes.map((outcome, i) => ({ lease: job.leases[i] as Lease, outcome }));
    const { delivered = [], failed = [] } = Object.groupBy(ends, ({ outcome }) =>
      outcome.kind === "delivered" ? "delivered" : "failed",
    );
    const writeAll = (some: readonly (typeof ends)[number][]): Promise<void> =>
      write(
        some.map(({ lease }) => lease),
        some.map(({ outcome }) => outcome),
      );
    const viewOf = (lease: Lease): DeliveryView => job.view ?? deliveryView(job.message, lease);
    if (delivered.length > 0) await writeAll(delivered);
    for (const { lease, outcome } of delivered) this.#tellDelivered(viewOf(lease), outcome);
    if (failed.length === 0) return;
    const judged = [];
    for (const { lease, outcome } of failed)
      judged.push({ lease, outcome: await this.#judged(viewOf(lease), outcome) });
    await writeAll(judged);
  }

  #tellDelivered(view: DeliveryView, { reply, route }: Outcome): void {
    this.tell("sender:delivered", view, {
      response: reply && printReply(reply),
      mx: route.mx,
      host: route.peer,
      localAddress: route.egress,
    });
  }

  /** `sender:responseError`. */
  async #judged(view: DeliveryView, outcome: Outcome): Promise<Outcome> {
    if (outcome.kind === "delivered" || outcome.ruling) return outcome; // a plugin has decided before
    const error: ResponseError = Object.assign(new Error(outcome.detail), {
      response: outcome.reply ? printReply(outcome.reply) : outcome.detail,
      ...(outcome.reply && { responseCode: outcome.reply.code }),
    });
    await this.#plugins.tell("sender:responseError", view, outcome.route, error);
    const { action, category } = error;
    const deferTimesMs = deferTimesOf(view);
    const waits = deferTimesMs === null ? outcome : { ...outcome, deferTimesMs };
    if (action !== "defer" && action !== "reject") return waits;
    return { ...waits, ruling: { action, category: typeof category === "string" ? category : null } };
  }

  #outcomeOf(error: unknown, hook: HookName): Outcome {
    if (error instanceof DroppedError)
      return { ...deferred("plugin", error.description), ruling: { action: "drop", category: null } };
    if (error instanceof RefusedError) return refusedByPlugin(error.reply);
    this.#plugins.log.error({ component: "plugin", hook, err: error }, "hook failed");
    const detail = error instanceof Error ? error.message : String(error);
    return deferred("internal", error instanceof PluginError ? detail : `${hook}: ${detail}`);
  }
}

/** By its code alone: the rules are for what peers say, and might take a plugin's words for theirs. */
function refusedByPlugin({ code, text }: RefusedError["reply"]): Outcome {
  const reply = smtpReply(code, [text]);
  const detail = printReply(reply);
  return code < 500
    ? deferred("plugin", detail)
    : bounced("plugin", reply.enhanced?.startsWith("5.") ? reply.enhanced : "5.7.1", detail);
}

/** One recipient as plugins see him. */
export function deliveryView(message: Message, { row }: Lease): DeliveryView {
  const { origin, extra } = message;
  const returnPath = message.returnPath ?? "";
  return {
    ...extra,
    id: message.id,
    seq: row.seq.toString(16).padStart(3, "0"),
    ...originFields(origin),
    sessionId: null,
    sendingZone: row.zone,
    from: returnPath,
    recipient: row.recipient,
    domain: row.domain,
    messageId: message.messageIdHeader,
    fbl: message.fbl,
    time: new Date(message.acceptedAt),
    queued: new Date(row.dueAt),
    bodySize: message.body.bytes - message.body.headerBytes,
    _deferred:
      row.firstDeferredAt === null ? null : { first: new Date(row.firstDeferredAt), count: row.attempts },
    envelope: { from: returnPath, to: row.recipient },
    dkim: { keys: [] },
  };
}

/** What plugins have said in `zoneAddress`; from the first connection on that says what is used. */
const chosenEgress = new WeakMap<DeliveryView, string>();

/** True: a plugin has said that this egress address is not to be used, or that another one is. */
export function forbiddenByPlugin(view: DeliveryView | undefined, address: string): boolean {
  if (!view) return false;
  const chosen = chosenEgress.get(view) ?? address;
  return view.disabledAddresses?.includes(address) === true || chosen !== address;
}

/** Waits between attempts that a plugin has given; null: it has not. */
export function deferTimesOf(view: DeliveryView | undefined): readonly number[] | null {
  const times = view?.deferTimes;
  if (!Array.isArray(times) || times.length === 0) return null;
  return times.every((ms) => Number.isFinite(ms) && ms > 0) ? times : null;
}

const WAY_FIELDS = [
  "mx",
  "mxPort",
  "mxAuth",
  "mxSecure",
  "skipSRS",
  "skipSTS",
  "useLMTP",
  "http",
  "targetUrl",
] as const;

function wayFieldsOf(view: DeliveryView): Record<string, unknown> {
  return Object.fromEntries(
    WAY_FIELDS.flatMap((name) => (view[name] === undefined ? [] : [[name, view[name]]])),
  );
}

/** A way in ZoneMTA's words. */
function wayFields(way: Way | null): Partial<DeliveryView> {
  if (way === null) return {};
  return {
    ...(way.hosts && { mx: way.hosts.map((exchange, priority) => ({ exchange, priority })) }),
    ...(way.port !== null && { mxPort: way.port }),
    ...(way.auth && { mxAuth: way.auth }),
    ...(way.secure && { mxSecure: true }),
    ...(way.skipSrs && { skipSRS: true }),
    ...(way.skipSts && { skipSTS: true }),
    ...(way.lmtp && { useLMTP: true }),
    ...(way.http !== null && { http: true, targetUrl: way.http }),
  };
}

function returnPathIn(view: DeliveryView, message: Message): ChangedContent["returnPath"] {
  const { from } = view.envelope;
  if (from === (message.returnPath ?? "")) return null;
  return { address: from === "" ? null : addressIn(from, "from") };
}

function addressIn(text: string, field: string): Address {
  const address = typeof text === "string" ? parseAddress(text) : null;
  if (address !== null) return address;
  throw new PluginError("sender:headers", `envelope.${field} was set to what is no address`);
}
