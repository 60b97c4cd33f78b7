/**
 * One process of the relay: feeders, HTTP API and zones on one backend, until it is drained.
 * It is given everything it needs, so tests run it inside their own process with a real store and real sockets.
 */

import type { Server } from "node:net";

import type { Clock } from "#shared/domain/clock.ts";
import type { Config, EventReceiver } from "#shared/domain/config.ts";
import type { MessageId, WorkerId } from "#shared/domain/ids.ts";
import { bounceRules } from "#shared/domain/own-bounce-rules.ts";
import type { BounceRules, OwnBounceRule } from "#shared/domain/own-bounce-rules.ts";
import { MINUTE, SECOND, later } from "#shared/domain/units.ts";
import type { Relay } from "#shared/domain/zone.ts";
import { plainRelay } from "#shared/domain/zone.ts";
import type { Observer } from "#shared/app/observer.ts";
import { observers } from "#shared/app/observer.ts";
import { runNotifier, shownUrl } from "#shared/app/notify.ts";
import type { Post, Trouble } from "#shared/app/notify.ts";
import { bounceReader } from "#shared/app/report-bounces.ts";
import { settler } from "#shared/app/settle.ts";
import type { Submit } from "#shared/app/submission.ts";
import { submitter } from "#shared/app/submit.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { Backend } from "#shared/ports/backend.ts";
import type { SlowedSite } from "#shared/ports/limit-store.ts";
import type { HeldAddresses } from "./addresses/held-addresses.ts";
import type { StsOf } from "./delivery/mta-sts.ts";
import type { ResolveMx } from "./delivery/resolve-mx.ts";
import type { Signer } from "./delivery/sign.ts";
import type { ConnectOptions } from "./delivery/connect.ts";
import { blockedEgressView } from "./zone/blocked-egress.ts";
import { idleEgress } from "./zone/idle-egress.ts";
import { connectionSlots } from "./zone/connection-slots.ts";
import type { ConnectionSlots } from "./zone/connection-slots.ts";
import { fullDomainsBook } from "./zone/full-domains.ts";
import type { FullDomainsBook } from "./zone/full-domains.ts";
import { openZone } from "./zone/open-zone.ts";
import type { SenderDeps } from "./zone/open-zone.ts";
import { slowedSites } from "./zone/slowed-sites.ts";
import { pluginObserver } from "./plugin-observer.ts";
import { repeat } from "./repeat.ts";
import type { StoreTerms } from "./store-terms.ts";

export interface WorkerDeps {
  readonly config: Config;
  readonly backend: Backend;
  readonly terms: StoreTerms;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newMessageId: () => MessageId;
  readonly worker: WorkerId;
  /** Of this host in the fleet. */
  readonly hostname: string;
  /** Elastic IPs that this host holds. */
  readonly addresses: HeldAddresses;
  readonly pid: number;
  readonly resolve: ResolveMx;
  /** MTA-STS policies of the domains that mail goes to. */
  readonly stsOf: StsOf;
  readonly signer: Signer;
  readonly connectOptions: Omit<ConnectOptions, "signal">;
  readonly observer: Observer;
  /** Null: there are none. */
  readonly plugins: Plugins | null;
  /** How receivers of events are reached. */
  readonly post: Post;
  readonly onConnections: (change: { idle?: number; reused?: number }) => void;
  /** A zone sends more slowly to a site, which asked for it. */
  readonly onSlower: (entry: SlowedSite) => void;
  readonly onError: (what: string, error: unknown, fields?: Readonly<Record<string, unknown>>) => void;
  /** The ways in: each is started with the use case that takes mail. */
  readonly frontDoors: readonly ((submit: Submit) => Promise<FrontDoor>)[];
}

export interface FrontDoor {
  readonly kind: "smtp" | "http";
  /** Name of the SMTP interface, or `api`. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** What it listens on, for the worker that takes its place. */
  readonly socket: { readonly key: string; readonly server: Server };
  /** Listen no more and let connections come to their own end. Resolves with the last one. */
  retire(): Promise<void>;
  /** Take nothing new, finish what is there; what is left after `graceMs` is cut. */
  drain(graceMs: number): Promise<void>;
}

export interface Worker {
  readonly frontDoors: readonly FrontDoor[];
  readonly submit: Submit;
  /** From now on replies are judged by these rules first: what a reload of the operator's file ends in. */
  replaceBounceRules(own: readonly OwnBounceRule[]): void;
  /**
   * Resolves when all is finished, after `graceMs` at the latest and then with what was in flight cut off. With `leisure` clients who are
   * connected may go on for so long before that; the queue is left to others at once.
   */
  drain(graceMs: number, leisure?: Leisure): Promise<void>;
}

/** For a worker whose place another has taken. */
export interface Leisure {
  readonly forMs: number;
  /** Ends it early. */
  readonly hurry: AbortSignal;
}

const HEARTBEAT_MS = 20 * SECOND;
/** A worker that has not been heard of for this long is dead. */
const HEARTBEAT_TTL_MS = MINUTE;
const REPORT_MS = SECOND / 2;
/** How often what all processes share is read again. */
const VIEW_MS = 3 * SECOND;
const SLOTS_TIDY_MS = 2 * SECOND;
/** Of the grace, what is kept for cutting off and writing what is left. */
const CUT_MS = 2 * SECOND;

export async function startWorker(given: WorkerDeps): Promise<Worker> {
  const { backend, clock, terms, worker, plugins } = given;
  const plugged = plugins && pluginObserver(plugins, (submission) => submit(submission));
  const deps = plugged ? { ...given, observer: observers(given.observer, plugged) } : given;
  const submit = submitter({ ...deps, ...backend });
  const slots = connectionSlots({ ...deps, limits: backend.limits, holder: worker, terms: terms.slots });
  const rules = bounceRules(deps.config.bounces.rules);
  const full = fullDomainsBook();
  const stop = new AbortController();
  const grace = new AbortController();
  const chores = startChores(deps, { submit, slots, full }, stop.signal);
  const frontDoors: FrontDoor[] = [];
  try {
    for (const open of deps.frontDoors) frontDoors.push(await open(submit));
  } catch (error) {
    stop.abort();
    await Promise.all([...frontDoors.map((door) => door.drain(0)), chores]);
    throw error;
  }
  const zones = startZones(deps, { slots, rules, full }, { stop: stop.signal, grace: grace.signal });
  return {
    frontDoors,
    submit,
    replaceBounceRules: (own) => rules.replace(own),
    async drain(graceMs, leisure) {
      stop.abort(); // before the doors: a delivery begun while they wait for a slow client would have no time left
      void slots.drain().catch((error: unknown) => deps.onError("giving back slots", error));
      const cut = clock.sleep(Math.max(0, graceMs - CUT_MS), grace.signal).then(() => grace.abort());
      const over = new AbortController();
      const leisureOver = leisure
        ? clock.sleep(leisure.forMs, AbortSignal.any([leisure.hurry, over.signal]))
        : null;
      const doors = frontDoors.map(async (door) => {
        if (leisureOver) await Promise.race([door.retire(), leisureOver]);
        await door.drain(Math.max(0, graceMs - CUT_MS));
      });
      const queueLeft = Promise.all([zones, chores]).then(() => (leisure ? leave(deps) : undefined));
      const late = async (): Promise<void> => {
        await leisureOver;
        await clock.sleep(graceMs, over.signal);
      };
      await Promise.race([Promise.all([...doors, queueLeft]), late()]);
      over.abort();
      grace.abort();
      await cut;
      await leave(deps);
    },
  };
}

function startZones(
  deps: WorkerDeps,
  { slots, rules, full }: { slots: ConnectionSlots; rules: BounceRules; full: FullDomainsBook },
  { stop, grace }: { stop: AbortSignal; grace: AbortSignal },
): Promise<unknown> {
  const { config, backend, clock } = deps;
  const blocked = blockedEgressView({ limits: backend.limits, clock });
  const slowed = slowedSites({
    limits: backend.limits,
    clock,
    onSlower: deps.onSlower,
  });
  const settle = settler({
    ...deps,
    queue: backend.queue,
    limits: blocked,
    classify: rules.classify,
    slowDown: (complaint) => slowed.slowDown(complaint),
  });
  const sandbox: Relay | null = config.sandbox.enabled
    ? plainRelay(config.sandbox.host, config.sandbox.port)
    : null;
  const onFull: SenderDeps["onFull"] = (zone, domains) => full.note(zone, domains);
  const shared = { ...deps, settle, slots, blocked, idleEgress: idleEgress(clock), slowed, sandbox, onFull };
  const failed = (what: string) => (error: unknown) => deps.onError(what, error);
  const refreshing = [
    repeat(clock, VIEW_MS, stop, () => blocked.refresh(), failed("blocked addresses")),
    repeat(clock, VIEW_MS, stop, () => slowed.refresh(), failed("slowed sites")),
  ];
  const running = [...config.zones.values()]
    .filter((zone) => !zone.disabled)
    .map((zone) => openZone(zone, shared, { stop, grace }));
  return Promise.all([...running, ...refreshing]);
}

/** What goes on beside the mail: heartbeat, housekeeping, reports. Each goes on after an error. */
function startChores(
  deps: WorkerDeps,
  { submit, slots, full }: { submit: Submit; slots: ConnectionSlots; full: FullDomainsBook },
  stop: AbortSignal,
): Promise<unknown> {
  const { clock, backend, config, worker, observer, terms } = deps;
  const failed = (what: string) => (error: unknown) => deps.onError(what, error);
  const startedAt = clock.now();
  const heartbeat = async (): Promise<void> => {
    const now = clock.now();
    const { hostname, pid, addresses } = deps;
    await backend.fleet.beat({
      worker,
      hostname,
      pid,
      startedAt,
      until: later(now, HEARTBEAT_TTL_MS),
      addresses: addresses.names(),
      full: full.list(),
    });
  };
  const sweep = async (): Promise<void> => {
    await backend.queue.sweep();
  };
  const onUnreportable = (event: { messageId: string }, error: unknown): void =>
    deps.onError("bounce report", error, { messageId: event.messageId });
  const { events, queue, bodies } = backend;
  const readBounces = bounceReader({
    config,
    events,
    queue,
    bodies,
    submit,
    clock,
    worker,
    observer,
    onUnreportable,
  });
  const report = async (): Promise<void> => {
    await readBounces(stop);
  };
  return Promise.all([
    repeat(clock, HEARTBEAT_MS, stop, heartbeat, failed("heartbeat")),
    repeat(clock, HEARTBEAT_MS, stop, () => slots.renew(), failed("renewing slots")),
    repeat(clock, SLOTS_TIDY_MS, stop, () => slots.tidy(), failed("giving back slots")),
    repeat(clock, terms.sweepMs, stop, sweep, failed("sweep")),
    terms.reportsBounces ? repeat(clock, REPORT_MS, stop, report, failed("bounce report")) : null,
    terms.reportsBounces ? notifyReceivers(deps, stop) : null,
  ]);
}

/** Each by itself: one that does not answer keeps none of the others waiting. */
function notifyReceivers(deps: WorkerDeps, stop: AbortSignal): Promise<unknown> {
  const { config, backend, clock, worker, post } = deps;
  const { events, configs, queue } = backend;
  const failed = (receiver: EventReceiver, error: unknown, fields: Readonly<Record<string, unknown>>): void =>
    deps.onError("event receiver", error, { receiver: shownUrl(receiver), ...fields });
  const notifier = (receiver: EventReceiver) => ({
    events,
    configs,
    queue,
    clock,
    worker,
    post,
    onTrouble: ({ failures, detail, retryAt }: Trouble) =>
      failed(receiver, new Error(detail), { failures, retryAt: new Date(retryAt).toISOString() }),
    onGivenUp: (_: EventReceiver, events: number) =>
      failed(receiver, new Error("events were given up: it has not taken them for too long"), { events }),
    onError: (error: unknown) => failed(receiver, error, {}),
  });
  return Promise.all(config.receivers.map((receiver) => runNotifier(receiver, notifier(receiver), stop)));
}

async function leave({ backend, worker, onError }: WorkerDeps): Promise<void> {
  try {
    await backend.limits.dropHolder(worker);
    await backend.events.dropReader(worker);
    await backend.fleet.leave(worker);
  } catch (error) {
    onError("leaving the fleet", error); // slots, claims and membership lapse by themselves
  }
}
