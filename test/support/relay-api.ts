/** What a test asks a relay by its HTTP API. */

import type { Probe } from "./mail-load.ts";
import { eventually } from "./relay-process.ts";

export interface MessageView {
  readonly messages: readonly {
    readonly recipient: string;
    readonly status: string;
    readonly attempts: number;
    readonly lock?: { readonly worker: string };
    readonly lastAttempt: { readonly cause: string | null; readonly response: string } | null;
  }[];
}

export async function messageView(httpUrl: string, id: string): Promise<MessageView | null> {
  const response = await fetch(`${httpUrl}/message/${id}`);
  return response.ok ? ((await response.json()) as MessageView) : null;
}

/** Acknowledged mails whose recipients are not each there once, in the state that their fate says; with what they are instead. */
export async function wrongFates(httpUrl: string, acknowledged: readonly Probe[]): Promise<unknown[]> {
  const wrong: unknown[] = [];
  for (const { id, recipients } of acknowledged) {
    const view = await messageView(httpUrl, id as string);
    const is = view?.messages.map(({ recipient, status }) => `${recipient} ${status}`);
    const shouldBe = recipients.map(({ address, fate }) => `${address} ${fate}`);
    if (JSON.stringify(is) !== JSON.stringify(shouldBe)) wrong.push({ id, shouldBe, view });
  }
  return wrong;
}

interface Counter {
  readonly rows: number;
}
interface Counts {
  readonly active: Counter;
  readonly deferred: Counter;
  readonly held: Counter;
}

/** Rows that are not final. */
export async function openRows(httpUrl: string): Promise<number> {
  const counts = (await (await fetch(`${httpUrl}/counter/zone`)).json()) as Counts;
  return counts.active.rows + counts.deferred.rows + counts.held.rows;
}

/** Resolves when no row is open, for some while in a row: a report on a bounce is submitted a little after the bounce. */
export async function allFinal(httpUrl: string, patienceMs: number): Promise<void> {
  let quiet = 0;
  await eventually("the end of all open rows", patienceMs, async () => {
    quiet = (await openRows(httpUrl)) === 0 ? quiet + 1 : 0;
    return quiet >= 25 ? true : null; // asked every 50 ms; reports are made twice a second
  });
}
