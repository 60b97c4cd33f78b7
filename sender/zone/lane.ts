/**
 * One lane: the jobs of a zone for one site, waiting or in flight, and the connections they travel on.
 *
 * L1 A lane is bounded: `isFull` tells the zone loop to take no more rows for its domains.
 * L2 Each connection holds one slot from before it is opened until after it is closed, so caps hold over all processes. When
 *    slots lapsed and others may have them, connections end with the mail that they carry.
 * L3 A job is started only under leases that will last, and the peer is told to take its mail only under leases that live: those
 *    that may have lapsed while the job waited are renewed before the dot. A lane whose site has given all its slots to other processes hoards
 *    nothing: it gives its rows back at once and is full for a while, so that those who have the slots send them.
 * L4 A site that cannot be reached is probed by one job at a time; the others are put off without counting as tried.
 * L5 Of each connection the outcome of one mail at most is not written: the next may begin, and ends when that is. So a process
 *    that is killed leaves one mail for each open connection that may come twice, however fast the peer takes them.
 * L6 A site that asked for less mail gets it (domain/pace.ts): what this process has of its slots goes back, so that all processes
 *    together come down to fewer connections, and each job needs a permit of the rate that they share.
 * L7 Where there are throttles each recipient needs a permit of each (throttles.ts), which a job waits for with its connection
 *    ready. It goes on with as many recipients as there are permits. While its turn is far, nothing begins or asks: the lane fills
 *    up, and no more of its rows are taken.
 * L8 While this host holds none of the Elastic IPs that the zone sends from, its rows go back at once, for hosts that do.
 */

import type { Domain } from "#shared/domain/address.ts";
import type { Outcome } from "#shared/domain/outcome.ts";
import type { Lease } from "#shared/domain/queue-row.ts";
import { connectionsAt } from "#shared/domain/pace.ts";
import type { EpochMs } from "#shared/domain/units.ts";
import { later, SECOND } from "#shared/domain/units.ts";
import type { Zone } from "#shared/domain/zone.ts";
import type { Job } from "../delivery/job.ts";
import type { SmtpSession } from "../delivery/smtp-client.ts";
import { carryJob } from "./carry-job.ts";
import type { Carried, CarryDeps, CarryingConnection } from "./carry-job.ts";
import type { ConnectionSlots, SlotKey } from "./connection-slots.ts";
import { permitsOf } from "./permits.ts";
import type { RateSource } from "./rate-source.ts";
import { siteHealth } from "./site-health.ts";
import type { Outage } from "./site-health.ts";
import type { SitePace } from "./slowed-sites.ts";
import { throttlePermits } from "./throttles.ts";
import type { ThrottledMail } from "./throttles.ts";
import { waitingJobs } from "./waiting-jobs.ts";

export interface LaneDeps extends CarryDeps {
  readonly zone: Zone;
  readonly site: string;
  /** Connections at once, all processes together. */
  readonly siteLimit: number;
  readonly slots: Pick<ConnectionSlots, "acquire" | "release" | "isOver" | "surrender">;
  readonly pace: SitePace;
  /** The rates that the configuration sets, the widest first. */
  readonly throttles: readonly RateSource[];
  readonly random: () => number;
  /** Write the outcomes. It keeps trying while the store is down; it does not throw. */
  readonly settle: (job: Job, startedAt: EpochMs, outcomes: readonly Outcome[]) => Promise<void>;
  /** Write that the rows were put off untried. */
  readonly putOff: (job: Job, dueAt: EpochMs, detail: string) => Promise<void>;
  /** Give rows back to the queue, due at the time. */
  readonly giveBack: (leases: readonly Lease[], dueAt: EpochMs) => Promise<void>;
  /** False: the zone has no address to send from on this host (L8). */
  readonly hasEgress: () => boolean;
  /** True: the session is from an Elastic IP that this host does not hold any more: it carries no other mail. */
  readonly isWithdrawn: (session: SmtpSession) => boolean;
  /** The lane was full and is not any more. */
  readonly onRoom: () => void;
  readonly onConnections: (change: { idle?: number; reused?: number }) => void;
  readonly onError: (error: unknown) => void;
}

export interface Lane {
  readonly site: string;
  readonly domains: ReadonlySet<Domain>;
  readonly isFull: boolean;
  /** True: others have all the slots, so that its mail is theirs to send (L3). */
  readonly isStarved: boolean;
  /** True: the peer counts a connection of this lane, though it be one that has said QUIT. */
  readonly isConnected: boolean;
  /** True: no jobs and no connections. */
  readonly isEmpty: boolean;
  add(job: Job): void;
  /** Close connections that have been idle for too long. */
  tidy(): void;
  /** Close one that is idle: another lane needs its slot. */
  makeRoom(): void;
  /** Give back what has not started, and what is added from now on, and close what is idle; what is in flight goes on. */
  drain(): Promise<void>;
}

interface Connection extends CarryingConnection {
  egressKey: string;
  /** Null while it carries a job. */
  idleSince: EpochMs | null;
}

/** Jobs a lane holds for each connection it may have, so that none waits for the next `take`; and some for a lane of one. */
const JOBS_PER_CONNECTION = 4;
const JOBS_ANYWAY = 10;
/** Between two tries to get a slot from a store that does not answer; up to twice as long. */
const NO_ANSWER_RETRY_MS = 250;
export function openLane(deps: LaneDeps): Lane {
  const { zone, site, siteLimit, clock, pace } = deps;
  const slotKey: SlotKey = { zone: zone.name, zoneLimit: zone.connections, site, siteLimit };
  const waiting = waitingJobs(JOBS_ANYWAY + JOBS_PER_CONNECTION * siteLimit);
  const health = siteHealth(site, clock);
  const connections = new Set<Connection>();
  let inFlight = 0;
  let acquiring = 0;
  let pausing = false;
  /** Within the pause: there was no slot, as opposed to no answer from the store. */
  let denied = false;
  let draining = false;
  /** L6: as the slots here are held by. */
  let step = 0;
  const permits = permitsOf({ pace, clock, onPermit: pump, onError: deps.onError });
  const throttle = throttlePermits({ clock, sources: deps.throttles, onPlace: pump });

  function pump(): void {
    notePace();
    if (draining || isStarved() || !deps.hasEgress()) return void giveBackWaiting().catch(deps.onError);
    const { outage } = health;
    if (outage) return putOffWaiting(outage);
    while (waiting.length > 0 && mayStartMore()) {
      if (!runOnIdle() && !openAnother()) return;
    }
  }

  /** L4: while the site is down, and then until a probe has come through, there is one job at most. */
  function mayStartMore(): boolean {
    if (draining || !deps.hasEgress()) return false;
    if (health.isProbed && inFlight + acquiring > 0) return false;
    return permits.has(acquiring) && throttle.hasPlace(); // one that is being opened will need a permit of the pace
  }

  /** L6. */
  function notePace(): void {
    const before = step;
    step = pace.step;
    if (step > before) deps.slots.surrender(slotKey);
  }

  /** L3: nothing here can carry a job. */
  function isStarved(): boolean {
    return denied && connections.size + acquiring === 0;
  }

  /**
   * An idle connection carries the oldest job from its egress address. Older jobs from other addresses are passed over, for no
   * longer than a connection lasts: whoever takes its place takes the oldest job. False: there is none for any job.
   */
  function runOnIdle(): boolean {
    for (const connection of connections) {
      if (connection.idleSince === null || !isFit(connection)) continue;
      const job = waiting.take(({ egressKey }) => egressKey === connection.egressKey);
      if (!job) continue;
      run(job, connection, throttle.begin("open"));
      return true;
    }
    return false;
  }

  function isFit({ session }: Connection): boolean {
    return session?.usable === true && !deps.isWithdrawn(session);
  }

  /** False: no more connections can be opened now. */
  function openAnother(): boolean {
    if (acquiring >= waiting.length) return false;
    if (pausing || connections.size + acquiring >= connectionsAt(pace.step, siteLimit)) {
      retireIdle();
      return false;
    }
    void acquireAndRun(throttle.begin("new")).catch(deps.onError);
    return true;
  }

  async function acquireAndRun(mail: ThrottledMail | null): Promise<void> {
    acquiring++;
    const answer = await deps.slots.acquire(slotKeyNow()).catch((error: unknown) => {
      deps.onError(error);
      return null; // the store does not answer: no new connections until it does
    });
    acquiring--;
    const job = answer?.granted === true ? waiting.take() : undefined;
    if (!job) mail?.ended(false);
    if (!answer?.granted) return waitForSlot(answer?.retryAt ?? null);
    const connection: Connection = { session: null, egressKey: "", idleSince: null, unwritten: null };
    connections.add(connection);
    if (job) run(job, connection, mail);
    else retire(connection);
  }

  function slotKeyNow(): SlotKey {
    return { ...slotKey, siteLimit: connectionsAt(pace.step, siteLimit) };
  }

  /** Ask again when there may be one; null: the store gave no answer. */
  async function waitForSlot(retryAt: EpochMs | null): Promise<void> {
    const alreadyPausing = pausing;
    pausing = true;
    if (retryAt !== null) denied = true;
    pump(); // gives back what cannot start
    if (alreadyPausing) return;
    const noAnswerMs = NO_ANSWER_RETRY_MS * (1 + deps.random());
    await clock.sleep(retryAt === null ? noAnswerMs : Math.max(0, retryAt - clock.now()));
    pausing = false;
    denied = false;
    pump();
    noteRoom();
  }

  async function giveBackWaiting(): Promise<void> {
    const leases = waiting.takeAll().flatMap((job) => job.leases);
    if (leases.length > 0) await deps.giveBack(leases, clock.now());
    noteRoom();
  }

  function run(job: Job, connection: Connection, mail: ThrottledMail | null): void {
    if (connection.idleSince !== null) deps.onConnections({ idle: -1 });
    connection.idleSince = null;
    connection.egressKey = job.egressKey;
    inFlight++;
    permits.use();
    noteRoom();
    void carry(job, connection, mail).catch(deps.onError);
  }

  async function carry(whole: Job, connection: Connection, mail: ThrottledMail | null): Promise<void> {
    const job = { ...whole, leases: whole.leases.filter(deps.mayStart) };
    const lost = whole.leases.filter((lease) => !job.leases.includes(lease));
    if (lost.length > 0) await deps.giveBack(lost, clock.now());
    if (connection.session && job.leases.length > 0) deps.onConnections({ reused: 1 });
    const carried = job.leases.length > 0 ? await carryJob(job, connection, mail, deps) : null;
    mail?.ended(carried?.delivered.outcomes.some(({ kind }) => kind === "delivered") ?? false);
    if (carried) health.note(carried.delivered);
    inFlight--;
    const settled = carried ? settle(connection, job, carried) : null;
    const session = carried ? carried.delivered.session : connection.session;
    if (settled && session && isSpent(session)) await settled;
    keep(connection, session);
    pump();
    await settled;
  }

  /** L7: what may not begin yet is the first to begin next. Null: nothing was tried. */
  function settle(connection: Connection, job: Job, { startedAt, delivered }: Carried): Promise<void> | null {
    const { outcomes } = delivered;
    const untried = job.leases.slice(outcomes.length);
    if (untried.length > 0) waiting.putBack({ ...job, leases: untried });
    if (outcomes.length === 0) return null;
    const tried = { ...job, leases: job.leases.slice(0, outcomes.length) };
    return write(connection, deps.settle(tried, startedAt, outcomes));
  }

  async function write(connection: Connection, settled: Promise<void>): Promise<void> {
    connection.unwritten = settled;
    await settled;
    if (connection.unwritten === settled) connection.unwritten = null;
  }

  function noteRoom(): void {
    if (waiting.madeRoom(isStarved())) deps.onRoom();
  }

  /** Keep the session for the next job, or be done with it. */
  function keep(connection: Connection, session: SmtpSession | null): void {
    connection.session = session;
    if (!session?.usable || isSpent(session)) return retire(connection);
    connection.idleSince = clock.now();
    deps.onConnections({ idle: 1 });
  }

  /** Of the slots of this process some may be another's by now. */
  function isOver(): boolean {
    notePace();
    return deps.slots.isOver(slotKey);
  }

  function isSpent(session: SmtpSession): boolean {
    return (
      draining ||
      isOver() ||
      deps.isWithdrawn(session) ||
      session.transactions >= zone.connectionCache.reuseCount
    );
  }

  /** Close the session. Until it is closed the peer counts it, so only then its slot goes to the next job, or back (L2). */
  function retire(connection: Connection): void {
    const { session, idleSince } = connection;
    if (idleSince !== null) deps.onConnections({ idle: -1 });
    connection.idleSince = null;
    connection.session = null;
    const passOn = (): void => {
      const next = mayStartMore() && !isOver() ? waiting.take() : undefined;
      if (next) return run(next, connection, throttle.begin("new"));
      connections.delete(connection);
      void deps.slots.release(slotKey).catch(deps.onError);
    };
    if (!session) return passOn();
    session.onClose(passOn);
    session.quit();
  }

  /** Make room for a connection from another egress address: the slot goes to the next job. False: none is idle. */
  function retireIdle(): boolean {
    for (const connection of connections) {
      if (connection.idleSince === null) continue;
      retire(connection);
      return true;
    }
    return false;
  }

  /** L4. They come back spread over half a minute, the first of them being the probe. */
  function putOffWaiting({ until, detail }: Outage): void {
    for (const job of waiting.takeAll()) {
      const dueAt = later(until, Math.floor(deps.random() * 30 * SECOND));
      void deps.putOff(job, dueAt, detail).catch(deps.onError);
    }
    noteRoom();
  }

  return {
    site,
    domains: waiting.domains,
    get isFull() {
      return waiting.isFull(isStarved());
    },
    get isStarved() {
      return isStarved();
    },
    get isConnected() {
      return connections.size > 0;
    },
    get isEmpty() {
      return (
        waiting.length + inFlight + acquiring + connections.size === 0 &&
        !pausing &&
        !permits.isAsking &&
        health.isForgotten
      );
    },
    add(job) {
      waiting.add(job);
      pump();
    },
    tidy() {
      const oldest = later(clock.now(), -zone.connectionCache.ttlMs);
      for (const connection of connections) {
        const { idleSince } = connection;
        if (idleSince !== null && (idleSince <= oldest || !isFit(connection))) retire(connection);
      }
      pump();
    },
    makeRoom: () => void retireIdle(),
    async drain() {
      draining = true;
      permits.stop();
      throttle.stop();
      while (retireIdle());
      await giveBackWaiting();
    },
  };
}
