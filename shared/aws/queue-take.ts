/**
 * `take`: from the stock, filled by signals from the zone's queue and by looks at the index.
 *
 * T1  A long poll belongs to the zone and not to the take that began it: a take that ends early (its wait was over, a lane has
 *     room) leaves it running, and what it brings lies in the stock for the next one. Cutting a poll off can hide a signal for
 *     as long as a lease; that happens only when the process ends.
 * T2  Polls begin in takes only, so nothing is received while there is no room.
 * T3  A signal of a domain that is to be avoided stays in the stock while that has room, and goes back hidden for longer each
 *     time it was received: a throttled backlog is not turned over and over.
 * T4  While signals come, but not as many as a call can bring, the next poll waits a moment for more of them. The first one after
 *     a silence waits for nothing.
 * T5  What this sender is told to leave to others goes back at once, and is soon visible to them.
 */

import { rowIdOf } from "../domain/ids.ts";
import { later, MINUTE, SECOND } from "../domain/units.ts";
import type { EpochMs } from "../domain/units.ts";
import type { ZoneName } from "../domain/zone.ts";
import type { QueueStore, Taken, TakeRequest } from "../ports/queue-store.ts";
import type { QueueContext } from "./queue-context.ts";
import { HIDDEN_MARGIN_MS, leaseParcels, letGo } from "./queue-lease.ts";
import { indexLook } from "./queue-look.ts";
import { MAX_HIDDEN_MS } from "./signals.ts";
import type { ReceivedSignal } from "./signals.ts";
import { stockOf } from "./stock.ts";
import type { Parcel, Stock, Ticket } from "./stock.ts";

/** Parcels of a zone that one sender holds without having leased them. */
const MAX_STOCK = 2_000;
/** Rows that a take wants to choose from, so that each domain gets its turn. */
const MIN_CHOICE = 100;
const SIGNALS_PER_RECEIVE = 10;
const RECEIVES_AT_ONCE = 4;
/** Rounds of receives in one take. */
const MAX_ROUNDS = 25;
/** How often a waiting take looks at the index. One that does not wait always does: it is asked for all there is. */
const LOOK_EVERY_MS = 15 * SECOND;
/** From a poll that has brought some signals to the next one. A mail starts so much later at most, and a request is spared. */
export const GATHER_MS = 200;
const FIRST_PUT_BACK_MS = 5 * SECOND;
const MAX_PUT_BACK_MS = 5 * MINUTE;
const FIRST_LEAVE_MS = SECOND;
const MAX_LEAVE_MS = MINUTE;
/** A parcel must still be hidden from others when it is leased. */
const STOCK_MARGIN_MS = 5 * SECOND;

export interface Taker {
  readonly take: QueueStore["take"];
  readonly leave: NonNullable<QueueStore["leave"]>;
  /** Takes end empty; what was received and not leased goes to other senders at once. */
  stop(): Promise<void>;
}

interface ZoneState {
  readonly zone: ZoneName;
  readonly stock: Stock;
  /** The long poll under way, whoever began it. */
  polling: Promise<void> | null;
  /** When the next poll may begin (T4). */
  pollAt: EpochMs;
  lookedAt: EpochMs | null;
}

export function queueTaker(context: QueueContext): Taker {
  const { clock, queues } = context;
  const zones = new Map<ZoneName, ZoneState>();
  const look = indexLook(context);
  const stopped = new AbortController();

  function stateOf(zone: ZoneName): ZoneState {
    const known = zones.get(zone);
    if (known) return known;
    const state = { zone, stock: stockOf(MAX_STOCK), polling: null, pollAt: clock.now(), lookedAt: null };
    zones.set(zone, state);
    return state;
  }

  async function take(request: TakeRequest): Promise<Taken[]> {
    const state = stateOf(request.zone);
    const deadline = later(clock.now(), request.waitMs);
    const isOver = (): boolean => stopped.signal.aborted || request.signal?.aborted === true;
    let looked = false;
    if (request.waitMs === 0) await receiveMore(state, request, 1);
    for (;;) {
      if (isOver()) return [];
      const taken = await leaseFromStock(state, request);
      if (taken.length > 0) return taken;
      const now = clock.now();
      if (request.waitMs === 0 ? !looked : isLookDue(state, now)) {
        looked = true;
        await lookAtIndex(state);
        continue;
      }
      if (now >= deadline || isOver()) return [];
      await waitForMore(state, request, deadline);
    }
  }

  /** Choose and lease until something is leased or the stock has nothing left to choose. */
  async function leaseFromStock(state: ZoneState, request: TakeRequest): Promise<Taken[]> {
    for (;;) {
      const now = clock.now();
      for (const { ticket } of state.stock.expire(now)) if (ticket) context.tickets.delete(ticket.sqsId);
      const parcels = state.stock.choose(request, now);
      if (parcels.length === 0) return [];
      const { taken, called, failed } = await leaseParcels(context, parcels, request);
      for (const parcel of [...called, ...(failed?.parcels ?? [])]) putInStock(state, parcel);
      if (taken.length > 0) return [...taken];
      if (failed) throw failed.error;
    }
  }

  function isLookDue({ lookedAt }: ZoneState, now: EpochMs): boolean {
    return lookedAt === null || now - lookedAt >= LOOK_EVERY_MS;
  }

  async function lookAtIndex(state: ZoneState): Promise<void> {
    state.lookedAt = clock.now();
    for (const parcel of await look(state.zone, (row) => state.stock.has(row))) putInStock(state, parcel);
  }

  /** Resolves when there may be something new to take, or the wait is over. */
  async function waitForMore(state: ZoneState, request: TakeRequest, deadline: EpochMs): Promise<void> {
    const now = clock.now();
    const nextDue = state.stock.nextDueAt(request.avoid, now) ?? deadline;
    const nextLook = later(state.lookedAt ?? now, LOOK_EVERY_MS);
    const awake = new AbortController();
    const signal = AbortSignal.any([
      awake.signal,
      stopped.signal,
      ...(request.signal ? [request.signal] : []),
    ]);
    const sleeping = clock.sleep(Math.min(deadline, nextDue, nextLook) - now, signal);
    try {
      await Promise.race([poll(state, request, deadline - now), sleeping]);
    } finally {
      awake.abort();
    }
  }

  /** Join the zone's long poll, or begin one (T1). */
  function poll(state: ZoneState, request: TakeRequest, waitMs: number): Promise<void> {
    if (state.polling) return state.polling;
    const polling = pollOnce(state, request, waitMs).finally(() => {
      state.polling = null;
    });
    state.polling = polling;
    polling.catch((error: unknown) => {
      if (!stopped.signal.aborted) context.onTrouble({ kind: "poll-failed", zone: state.zone, error });
    });
    return polling;
  }

  async function pollOnce(state: ZoneState, request: TakeRequest, waitMs: number): Promise<void> {
    const pauseMs = state.pollAt - clock.now();
    if (pauseMs > 0) await clock.sleep(pauseMs, stopped.signal);
    const count = await receive(state, request, waitMs);
    if (count === SIGNALS_PER_RECEIVE) await receiveMore(state, request, SIGNALS_PER_RECEIVE);
    if (count > 0) state.pollAt = later(clock.now(), GATHER_MS);
  }

  /**
   * Receive what is there without waiting, until the take has enough to choose from, a receive brings fewer than `least`, or the
   * take has something and more of the same domains is all that comes: that is left for other senders. More at once each time, for
   * mostly there is little.
   */
  async function receiveMore(state: ZoneState, request: TakeRequest, least: number): Promise<void> {
    const wanted = Math.max(request.max, MIN_CHOICE);
    let had = state.stock.countRows(request, clock.now());
    for (let round = 0; round < MAX_ROUNDS && had < wanted && !stopped.signal.aborted; round++) {
      const useful = Math.ceil((wanted - had) / SIGNALS_PER_RECEIVE);
      const receives = Math.min(RECEIVES_AT_ONCE, 2 ** round, useful);
      const counts = await Promise.all(Array.from({ length: receives }, () => receive(state, request, 0)));
      const has = state.stock.countRows(request, clock.now());
      if (Math.min(...counts) < least || (has > 0 && has === had)) return;
      had = has;
    }
  }

  /** Resolves with the number of signals received. */
  async function receive(state: ZoneState, { leaseMs }: TakeRequest, waitMs: number): Promise<number> {
    const hiddenMs = Math.min(leaseMs + HIDDEN_MARGIN_MS, MAX_HIDDEN_MS);
    const hiddenUntil = later(clock.now(), hiddenMs); // SQS counts from later on
    const signals = await queues.receive(state.zone, { waitMs, hiddenMs, signal: stopped.signal });
    for (const signal of signals) keep(state, signal, hiddenUntil);
    return signals.length;
  }

  function keep(state: ZoneState, signal: ReceivedSignal, hiddenUntil: EpochMs): void {
    const { zone, sqsId, receipt, receiveCount } = signal;
    const held = context.tickets.get(sqsId);
    if (held && held.hiddenUntil > clock.now()) {
      held.receipt = receipt; // it was visible again while we have it: only the newest receipt is good
      held.hiddenUntil = hiddenUntil;
      return;
    }
    const ticket: Ticket = { zone, sqsId, receipt, hiddenUntil, receiveCount, open: 0 };
    if (isDouble(signal)) {
      void letGo(context, ticket, null);
      return;
    }
    context.tickets.set(sqsId, ticket);
    const { messageId, domain, dueAt, seqs } = signal;
    const keepUntil = later(hiddenUntil, -STOCK_MARGIN_MS);
    putInStock(state, { zone, messageId, domain, dueAt, seqs, ticket, keepUntil });
  }

  /** True: all its rows are leased by us under another signal, which stays in the queue until they have ended. */
  function isDouble({ messageId, seqs }: ReceivedSignal): boolean {
    const now = clock.now();
    return seqs.every((seq) => {
      const lease = context.leases.current(rowIdOf(messageId, seq));
      return lease?.ticket != null && lease.until > now && lease.ticket.hiddenUntil > now;
    });
  }

  function putInStock(state: ZoneState, parcel: Parcel): void {
    const evicted = state.stock.add(parcel);
    if (evicted?.ticket) void putBack(evicted.ticket, { firstMs: FIRST_PUT_BACK_MS, maxMs: MAX_PUT_BACK_MS });
  }

  /** For longer each time it was received. */
  function putBack(ticket: Ticket, { firstMs, maxMs }: { firstMs: number; maxMs: number }): Promise<void> {
    const longest = Math.min(maxMs, firstMs * 2 ** (ticket.receiveCount - 1));
    return letGo(context, ticket, later(clock.now(), longest * (0.5 + context.random() / 2)));
  }

  return {
    async take(request) {
      try {
        return await take(request);
      } catch (error) {
        if (stopped.signal.aborted) return []; // its receive was cut off
        throw error;
      }
    },

    leave(zone, domains) {
      for (const { ticket } of zones.get(zone)?.stock.drop(domains) ?? []) {
        if (ticket) void putBack(ticket, { firstMs: FIRST_LEAVE_MS, maxMs: MAX_LEAVE_MS });
      }
    },

    async stop() {
      stopped.abort();
      const now = clock.now();
      const parcels = [...zones.values()].flatMap(({ stock }) => stock.drop("all"));
      await Promise.all(parcels.map(({ ticket }) => letGo(context, ticket, now)));
      await Promise.allSettled([...zones.values()].flatMap(({ polling }) => polling ?? []));
    },
  };
}
