/** AUTH towards a relay (RFC 4954): PLAIN or LOGIN, and never where somebody else could read the password. */

import { isIPv4 } from "node:net";

import { smtpReply } from "#shared/domain/smtp-reply.ts";
import type { AuthMethod, CredentialPolicy } from "#shared/domain/zone.ts";

import type { Failure } from "./outcome-of-error.ts";
import type { RawReply } from "./reply-parser.ts";
import type { SmtpSession } from "./smtp-client.ts";

export interface AuthOptions {
  readonly ip: string;
  readonly policy: CredentialPolicy;
  /** Null: PLAIN, or LOGIN where that is not offered. */
  readonly method: AuthMethod | null;
}

const METHODS: readonly AuthMethod[] = ["PLAIN", "LOGIN"];

/** Null: we are in. A refusal is the operator's trouble and never bounces mail. */
export async function authenticate(
  session: SmtpSession,
  auth: { readonly user: string; readonly pass: string },
  options: AuthOptions,
): Promise<Failure | null> {
  const danger = dangerOf(session, options);
  if (danger !== null) return { kind: "credentials", detail: danger, reply: null };
  const offered = session.capabilities.auth;
  const wanted = options.method === null ? METHODS : [options.method];
  const method = wanted.find((known) => offered.has(known));
  if (method !== undefined) return method === "PLAIN" ? plain(session, auth) : login(session, auth);
  const list = [...offered].join(" ") || "none";
  return {
    kind: "credentials",
    detail: `the relay offers no AUTH that we speak (${wanted.join(", ")}; offered: ${list})`,
    reply: null,
  };
}

function dangerOf(session: SmtpSession, where: Pick<AuthOptions, "ip" | "policy">): string | null {
  if (where.policy === "anywhere" || isLoopback(where.ip)) return null;
  if (session.secured === null) return "the relay offers no TLS, and credentials are not sent in clear";
  if (where.policy === "encrypted" || session.secured.verified) return null;
  return `credentials are not sent: the relay's certificate is not verified (${session.secured.problem ?? "no reason given"})`;
}

async function plain(
  session: SmtpSession,
  auth: { readonly user: string; readonly pass: string },
): Promise<Failure | null> {
  const token = base64(`\0${auth.user}\0${auth.pass}`);
  return verdict(await session.ask(`AUTH PLAIN ${token}\r\n`, "auth"));
}

async function login(
  session: SmtpSession,
  auth: { readonly user: string; readonly pass: string },
): Promise<Failure | null> {
  for (const line of ["AUTH LOGIN", base64(auth.user)]) {
    const reply = await session.ask(`${line}\r\n`, "auth");
    if ("kind" in reply || reply.code !== 334) return verdict(reply);
  }
  return verdict(await session.ask(`${base64(auth.pass)}\r\n`, "auth"));
}

function verdict(reply: RawReply | Failure): Failure | null {
  if ("kind" in reply) return reply;
  switch (Math.trunc(reply.code / 100)) {
    case 2:
      return null;
    case 4: // such as 454 4.7.0: not now
      return { kind: "refused", place: "auth", reply: smtpReply(reply.code, reply.lines) };
    default:
      return {
        kind: "credentials",
        detail: "the relay refused our credentials",
        reply: smtpReply(reply.code, reply.lines),
      };
  }
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

function isLoopback(ip: string): boolean {
  return ip === "::1" || (isIPv4(ip) ? ip : ip.replace(/^::ffff:/i, "")).startsWith("127.");
}
