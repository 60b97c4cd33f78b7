/** A question by HTTP to a server of the operator's own: few at once, in bounded time, no redirect followed, a bounded answer. */

import type { Clock } from "../domain/clock.ts";
import { KIB } from "../domain/units.ts";

export interface HttpQuestion {
  readonly method: "GET" | "POST";
  /** A user and a password in it go as Basic auth, unless `headers` has an authorization. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

/** Rejects when there is no whole answer in time. */
export type AskHttp = (question: HttpQuestion) => Promise<HttpAnswer>;

const MAX_AT_ONCE = 50;
const MAX_WAITING = 2_000;
const MAX_ANSWER_BYTES = 256 * KIB;

/** `timeoutMs` is for one question, from being asked for to the last byte of its answer. */
export function httpAsker({ timeoutMs, clock }: { timeoutMs: number; clock: Clock }): AskHttp {
  const turns = turnstile();
  return async (question) => {
    const [over, answered] = [new AbortController(), new AbortController()];
    void clock.sleep(timeoutMs, answered.signal).then(() => {
      over.abort(new Error(`no answer in ${timeoutMs} ms`));
    });
    try {
      const leave = await turns.enter(over.signal);
      try {
        return await ask(question, over.signal);
      } finally {
        leave();
      }
    } finally {
      answered.abort();
    }
  };
}

async function ask({ method, url, headers, body }: HttpQuestion, signal: AbortSignal): Promise<HttpAnswer> {
  const { target, authorization } = withoutCredentials(url);
  try {
    const response = await fetch(target, {
      method,
      headers: { "user-agent": "ZoneFleet", ...authorization, ...headers },
      ...(body === undefined ? {} : { body }),
      redirect: "manual", // who answers elsewhere was not named by the operator
      signal,
    });
    return { status: response.status, text: await textOf(response) };
  } catch (error) {
    throw new Error(`${new URL(target).origin} cannot be asked: ${reasonOf(error)}`, { cause: error });
  }
}

/** `fetch` refuses URLs with a user in them. */
export function withoutCredentials(url: string): { target: string; authorization: Record<string, string> } {
  const target = new URL(url);
  const { username, password } = target;
  if (username === "" && password === "") return { target: url, authorization: {} };
  target.username = "";
  target.password = "";
  const pair = { user: decodeURIComponent(username), password: decodeURIComponent(password) };
  return { target: target.href, authorization: { authorization: basicAuth(pair) } };
}

/** RFC 7617, with UTF-8. `user` must not have a colon in it: it would end there. */
export function basicAuth({ user, password }: { user: string; password: string }): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** `fetch failed` says nothing; what it says is in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : error.message;
}

interface Turnstile {
  /** Resolves with how to leave. Rejects when `signal` aborts first, and when too many wait already. */
  enter(signal: AbortSignal): Promise<() => void>;
}

function turnstile(): Turnstile {
  let inside = 0;
  const waiting = new Set<() => void>();
  const leave = (): void => {
    const [next] = waiting;
    if (next) next();
    else inside -= 1;
  };
  return {
    async enter(signal) {
      if (inside < MAX_AT_ONCE) {
        inside += 1;
        return leave;
      }
      if (waiting.size >= MAX_WAITING) throw new Error(`${MAX_WAITING} questions wait already`);
      await new Promise<void>((resolve, reject) => {
        const giveUp = (): void => {
          waiting.delete(enter);
          reject(signal.reason as Error);
        };
        const enter = (): void => {
          waiting.delete(enter);
          signal.removeEventListener("abort", giveUp);
          resolve();
        };
        waiting.add(enter);
        signal.addEventListener("abort", giveUp, { once: true });
      });
      return leave;
    },
  };
}
