/**
 * What supervisor and worker say to each other, over the channel that Node opens between a process and its child. Both ends are
 * this program in one version, so the messages are typed and not checked.
 *
 * worker                                    supervisor
 *   │ ── hello ──────────────────────────────▶ │  it has joined the data folder: only now it is given work, so a worker whose
 *   │ ◀────────────────────────────── start ── │  supervisor died while it was being born never begins
 *   │ ── recovered ──────────────────────────▶ │  when `start` asked for it, or later a `recover`
 *   │ ── ready, or failed ───────────────────▶ │
 *   │ ── metrics ────────────────────────────▶ │  now and then, and for each `metrics-request`
 *   │ ◀────────────────────────── addresses ── │  on hosts with Elastic IPs: those that it may send from now, and until when
 *   │ ◀─────────────────────────────── ping ── │  now and then: does its event loop turn?
 *   │ ── pong ───────────────────────────────▶ │
 *   │ ── totals-request ─────────────────────▶ │
 *   │ ◀───────────────────────────── totals ── │
 *   │ ◀────────────────────────── hand-over ── │  another takes its place: it gives its listening sockets
 *   │ ── socket … sockets ───────────────────▶ │  one `socket` for each; to the other one they go as `socket`, before `start`
 *   │ ◀───────────────────────────── retire ── │  the other one listens: finish, and let clients come to their own end
 *   │ ◀────────────────────────────── drain ── │  the worker ends by itself; a lost channel says the same
 */

import type { WorkerId } from "#shared/domain/ids.ts";
import { MINUTE, SECOND } from "#shared/domain/units.ts";
import type { Settings } from "#shared/runtime/config.ts";
import type { MetricsSnapshot } from "#shared/runtime/metrics.ts";
import type { HeldAddress } from "./addresses/held-addresses.ts";

/** What a worker that drains has for what is in flight; then it cuts that off and ends. The whole of a drain stays under 30 s. */
export const GRACE_MS = 25 * SECOND;

/** What clients of a worker have that another has taken the place of, before it drains. */
export const LEISURE_MS = 10 * MINUTE;

/** What a worker is, for all its life. */
export interface Assignment {
  readonly worker: WorkerId;
  /** 0 to one less than there are processes: the place it fills. Whoever replaces it has the same. */
  readonly index: number;
  /** Name of this host in the fleet. */
  readonly hostname: string;
  /** Elastic IPs that this host holds. */
  readonly addresses: readonly HeldAddress[];
  /** As the supervisor read them, so that all workers run on the same whatever is done to the file; with no port 0 left. */
  readonly settings: Settings;
  /** To be done before the first row is taken; null: another worker has done it. */
  readonly recovery: Recovery | null;
}

/** What a worker listens on. */
export interface Listening {
  readonly kind: "smtp" | "http";
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/**
 * Take back what workers that are no more had: leases of everyone who is not living, slots and claims of the dead. While it goes on no
 * worker is started, so `living` is right until it is answered.
 */
export interface Recovery {
  /** Workers that died since the last recovery. At the first start none: nobody knows who lived before. */
  readonly dead: readonly WorkerId[];
  /** Everyone on this machine who lives, the worker itself included. */
  readonly living: readonly WorkerId[];
}

export type ToWorker =
  | { readonly type: "start"; readonly assignment: Assignment }
  | { readonly type: "recover"; readonly recovery: Recovery }
  /** With the socket itself; `key` is that of listening-socket.ts. */
  | { readonly type: "socket"; readonly key: string }
  | { readonly type: "hand-over" }
  | { readonly type: "retire"; readonly leisureMs: number; readonly graceMs: number }
  | { readonly type: "drain"; readonly graceMs: number }
  | { readonly type: "addresses"; readonly held: readonly HeldAddress[] }
  | { readonly type: "metrics-request" }
  | { readonly type: "ping" }
  | { readonly type: "totals"; readonly request: number; readonly text: string };

export type FromWorker =
  | { readonly type: "hello" }
  | { readonly type: "recovered" }
  | { readonly type: "ready"; readonly listens: readonly Listening[] }
  /** It cannot start; the message is for the operator's screen. It ends by itself. */
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "metrics"; readonly snapshot: MetricsSnapshot }
  | { readonly type: "pong" }
  | { readonly type: "socket"; readonly key: string }
  | { readonly type: "sockets" }
  | { readonly type: "totals-request"; readonly request: number };
