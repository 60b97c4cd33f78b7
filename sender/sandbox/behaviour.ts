/**
 * How the sandbox receiver treats an address: its local part says what is to happen, so that every fate of a mail can be seen
 * without a network (`550-rcpt@example.com`). Any other address is accepted.
 *
 * | Local part                     | of the      | What happens                                                        |
 * |--------------------------------|-------------|---------------------------------------------------------------------|
 * | `NNN-mail`                     | return path | MAIL is answered NNN, 400 to 599                                    |
 * | `NNN-rcpt`                     | recipient   | RCPT is answered NNN                                                |
 * | `NNN-data`                     | recipient   | the message is read and answered NNN                                |
 * | `greylist`                     | recipient   | 451 4.7.1, until the same sender tries the same recipient again     |
 * | `full`                         | recipient   | 452 4.2.2, mailbox full                                             |
 * | `unknown`                      | recipient   | 550 5.1.1, no such user                                             |
 * | `blocked`                      | recipient   | 554 5.7.1, the address of the client is on a block list             |
 * | `slow`                         | recipient   | accepted, but the answer to the message takes its time              |
 * | `timeout-mail`                 | return path | no answer to MAIL; after some minutes the connection is closed      |
 * | `timeout-rcpt`, `timeout-data` | recipient   | the same at RCPT, and after the message                             |
 * | `drop-mail`                    | return path | the connection is closed in place of an answer to MAIL              |
 * | `drop-rcpt`, `drop-data`       | recipient   | the same at RCPT, and after the message                             |
 *
 * All may go on after `-`, `+` or `.`, so that a test has many of a kind: `greylist-anna`, `550-rcpt+1`.
 */

/** What the receiver does next. `text` begins with the enhanced status code. */
export type Verdict =
  | { do: "accept" }
  | { do: "accept-late" }
  | { do: "reply"; code: number; text: string }
  | { do: "silence" }
  | { do: "hang-up" };

export type Stage = "mail" | "rcpt" | "data";

export const ACCEPT: Verdict = { do: "accept" };

const BY_CODE = /^(\d{3})-(mail|rcpt|data)(?=$|[-+.])/;
const BY_ACTION = /^(timeout|drop)-(mail|rcpt|data)(?=$|[-+.])/;
const BY_NAME = /^(greylist|full|unknown|blocked|slow)(?=$|[-+.])/;

/** Texts as hosts of the world have them; a code that is missing gets a plain one. */
const TEXTS: Readonly<Record<string, string>> = {
  "421": "4.3.2 Service shutting down, try again later",
  "450": "4.2.1 Mailbox temporarily unavailable",
  "451": "4.3.0 Local error in processing, try again later",
  "452-rcpt": "4.5.3 Too many recipients",
  "452": "4.3.1 Insufficient system storage",
  "454": "4.7.0 TLS not available due to temporary reason",
  "550-mail": "5.7.1 Sender refused",
  "550-rcpt": "5.1.1 No such user here",
  "550-data": "5.7.1 Message refused by content filter",
  "551": "5.1.6 User has moved, no forwarding address",
  "552-data": "5.3.4 Message exceeds fixed maximum size",
  "552": "5.2.2 Mailbox full",
  "553": "5.1.3 Mailbox name not allowed",
  "554-rcpt": "5.7.1 Relay access denied",
  "554": "5.6.0 Transaction failed",
  "555": "5.5.4 Parameters not recognized",
  "556": "5.1.10 Recipient domain takes no mail",
};

export interface Greylist {
  /** False: seen for the first time, and remembered. A triple that came again is forgotten, so its next mail waits too. */
  passes(triple: string): boolean;
}

/** What to do at a stage about an address whose word holds there: the return path at `mail`, a recipient at the others. */
export function verdictOn(
  address: string,
  stage: Stage,
  context: { returnPath: string | null; clientIp: string; greylist: Greylist },
): Verdict {
  const local = address.slice(0, address.lastIndexOf("@")).toLowerCase();
  const [, code, codeStage] = BY_CODE.exec(local) ?? [];
  if (code !== undefined) return codeStage === stage ? replyWith(Number(code), stage) : ACCEPT;
  const [, action, actionStage] = BY_ACTION.exec(local) ?? [];
  if (action !== undefined) {
    if (actionStage !== stage) return ACCEPT;
    return { do: action === "timeout" ? "silence" : "hang-up" };
  }
  const [, name = ""] = BY_NAME.exec(local) ?? [];
  return namedVerdict(name, stage, { ...context, address });
}

function namedVerdict(
  name: string,
  stage: Stage,
  context: { address: string; returnPath: string | null; clientIp: string; greylist: Greylist },
): Verdict {
  if (name === "slow") return stage === "data" ? { do: "accept-late" } : ACCEPT;
  if (stage !== "rcpt") return ACCEPT;
  switch (name) {
    case "greylist": {
      const triple = `${context.clientIp} ${context.returnPath ?? ""} ${context.address}`;
      return context.greylist.passes(triple)
        ? ACCEPT
        : { do: "reply", code: 451, text: "4.7.1 Greylisted, please try again in a moment" };
    }
    case "full":
      return { do: "reply", code: 452, text: "4.2.2 The recipient's mailbox is full" };
    case "unknown":
      return replyWith(550, "rcpt");
    case "blocked": {
      const text = `5.7.1 Service unavailable; client host [${context.clientIp}] blocked using dnsbl.example`;
      return { do: "reply", code: 554, text };
    }
    default:
      return ACCEPT;
  }
}

function replyWith(code: number, stage: Stage): Verdict {
  if (code < 400 || code > 599) return ACCEPT;
  const plain = `${Math.trunc(code / 100)}.0.0 Refused, as the address asks`;
  return { do: "reply", code, text: TEXTS[`${code}-${stage}`] ?? TEXTS[String(code)] ?? plain };
}

/** At most `max` triples are remembered; the oldest goes first. */
export function greylist(max: number): Greylist {
  const waiting = new Set<string>();
  return {
    passes(triple) {
      if (waiting.delete(triple)) return true;
      const [oldest] = waiting;
      if (waiting.size >= max && oldest !== undefined) waiting.delete(oldest);
      waiting.add(triple);
      return false;
    },
  };
}
