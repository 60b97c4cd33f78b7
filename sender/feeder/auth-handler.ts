/** What AUTH is answered, given what the credentials are found to be. Failures are slow and few (RFC 4954 §6, §9). */

import type { SMTPServerAuthentication, SMTPServerOptions, SMTPServerSession } from "smtp-server";

import type { CheckCredentials, CredentialAnswer, Login } from "#shared/app/credentials.ts";
import { FAILURE_DELAY_MS } from "#shared/app/credentials.ts";
import type { FeederContext } from "./context.ts";
import { loginByPlugins } from "./plugin-auth.ts";

/** The last of these closes the connection. */
export const MAX_FAILURES = 3;

export type AuthHandler = NonNullable<SMTPServerOptions["onAuth"]>;

type AuthReply = { ok: true; login: Login } | { ok: false; code: number; text: string };

class AuthRefused extends Error {
  override readonly name = "AuthRefused";
  readonly responseCode: number;

  constructor(responseCode: number, text: string) {
    super(text);
    this.responseCode = responseCode;
  }
}

export function authHandler(context: FeederContext, check: CheckCredentials): AuthHandler {
  const failures = new WeakMap<SMTPServerSession, number>();

  async function refuse(user: string, session: SMTPServerSession): Promise<AuthReply> {
    const count = (failures.get(session) ?? 0) + 1;
    failures.set(session, count);
    context.metrics.authFailed();
    context.log.info({ ...fieldsOf(session), user, failures: count }, "authentication failed");
    await context.clock.sleep(FAILURE_DELAY_MS);
    if (count >= MAX_FAILURES) return { ok: false, code: 421, text: "4.7.0 Too many failed logins, closing" };
    return { ok: false, code: 535, text: "5.7.8 User or password is wrong" };
  }

  /** Where plugins say who may log in, the accounts are not asked. */
  function answerTo(auth: SMTPServerAuthentication, session: SMTPServerSession): Promise<CredentialAnswer> {
    const { method } = auth;
    const user = auth.username ?? "";
    const password = auth.password ?? "";
    const seen = context.pluginSessions.get(session);
    if (seen && context.plugins?.has("smtp:auth") === true)
      return loginByPlugins(context.plugins, { user, password, method }, seen.view());
    return check({ user, password });
  }

  function fieldsOf(session: SMTPServerSession): Record<string, unknown> {
    return { sessionId: session.id, interface: context.interface.name, ip: session.remoteAddress };
  }

  async function replyTo(auth: SMTPServerAuthentication, session: SMTPServerSession): Promise<AuthReply> {
    const user = auth.username ?? "";
    // PLAIN can ask to act for another user (RFC 4616): nobody here may
    if (auth.authzid !== undefined && auth.authzid !== "" && auth.authzid !== user)
      return refuse(user, session);
    try {
      const answer = await answerTo(auth, session);
      if (answer === "wrong") return await refuse(user, session);
      if (answer !== "busy") return { ok: true, login: answer };
    } catch (error) {
      context.log.error({ ...fieldsOf(session), user, err: error }, "credentials could not be checked");
    }
    return { ok: false, code: 454, text: "4.7.0 Cannot check the login now, try again later" };
  }

  async function answer(...[auth, session, callback]: Parameters<AuthHandler>): Promise<void> {
    const reply = await replyTo(auth, session);
    if (reply.ok) callback(null, { user: reply.login });
    else callback(new AuthRefused(reply.code, reply.text));
  }

  return (...call) => void answer(...call);
}
