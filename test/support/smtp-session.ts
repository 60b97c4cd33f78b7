/** Our SMTP client against a peer of the test: everything has a plain value, a test says what matters to it. */

import assert from "node:assert/strict";

import type { Address } from "#shared/domain/address.ts";
import type { Outcome } from "#shared/domain/outcome.ts";

import { connect } from "../../sender/delivery/connect.ts";
import type { Connected, ConnectOptions, Target } from "../../sender/delivery/connect.ts";
import type { Content } from "../../sender/delivery/content.ts";
import type { SmtpSession } from "../../sender/delivery/smtp-client.ts";
import { DEFAULT_TIMEOUTS } from "../../sender/delivery/timeouts.ts";
import type { Timeouts } from "../../sender/delivery/timeouts.ts";
import { transact } from "../../sender/delivery/transaction.ts";
import type { Envelope, Transacted } from "../../sender/delivery/transaction.ts";

import { address } from "./builders.ts";

export function target(port: number, fields: Partial<Target> = {}): Target {
  return {
    host: "mx.one.example",
    ip: "127.0.0.1",
    port,
    secure: false,
    auth: null,
    authMethod: null,
    credentials: "verified",
    lmtp: false,
    tls: "opportunistic",
    localAddress: null,
    ehloName: "out.sender.example",
    ...fields,
  };
}

/** The real timeouts but for those given: a peer that stays silent for ever meets them however slow the machine is. */
export function timeouts(fields: Partial<Timeouts>): Timeouts {
  return { ...DEFAULT_TIMEOUTS, ...fields };
}

export function never(): AbortSignal {
  return new AbortController().signal;
}

export async function connectTo(
  port: number,
  fields: Partial<Target> = {},
  options: Partial<ConnectOptions> = {},
): Promise<Connected> {
  return connect(target(port, fields), { signal: never(), ...options });
}

/** A session, or the test fails. */
export async function sessionTo(
  port: number,
  fields: Partial<Target> = {},
  options: Partial<ConnectOptions> = {},
): Promise<SmtpSession> {
  const connected = await connectTo(port, fields, options);
  if (!connected.ok) assert.fail(JSON.stringify(connected));
  return connected.session;
}

export interface Mail extends Partial<Omit<Envelope, "recipients">>, Partial<Content> {
  /** Local parts at one.example, or whole addresses. */
  readonly to?: readonly string[];
  readonly signal?: AbortSignal;
  readonly beforeDot?: () => Promise<void> | null;
}

export const HEAD = Buffer.from("Received: by out.sender.example\r\n");
export const BODY = Buffer.from("Subject: hello\r\n\r\n.dot\r\n");
/** What of these two goes over the wire. */
export const WIRE = "Received: by out.sender.example\r\nSubject: hello\r\n\r\n..dot\r\n.\r\n";

export function send(session: SmtpSession, mail: Mail = {}): Promise<Transacted> {
  const {
    to = ["anna"],
    signal = never(),
    beforeDot = () => null,
    head = HEAD,
    chunks = [BODY],
    ...envelope
  } = mail;
  const recipients: Address[] = to.map((name) => address(name.includes("@") ? name : `${name}@one.example`));
  return transact(
    session,
    {
      returnPath: address("sender@sender.example"),
      recipients,
      bytes: BODY.length,
      eightBit: false,
      smtputf8: false,
      ...envelope,
    },
    { head, chunks },
    { signal, beforeDot },
  );
}

/** Outcomes in short: `delivered 250`, `deferred reply 451`, `deferred timeout`, `bounced too-large`. */
export function inShort(outcomes: readonly Outcome[]): string[] {
  return outcomes.map((outcome) =>
    [
      outcome.kind,
      ...(outcome.kind === "delivered" ? [] : [outcome.cause]),
      ...(outcome.reply ? [outcome.reply.code] : []),
    ].join(" "),
  );
}
