/**
 * SMTP submission on one interface: listens, learns who is behind a load balancer, opens a session for each connection and ends
 * them in order. What is said in a session is in connection.ts.
 *
 * 1. From an address in `proxyFrom` a connection begins with a PROXY header or is closed; from any other none is read.
 * 2. `drain` answers every message that it lets finish; what it cuts off has not been answered, so the client still has it.
 */

/* oxlint-disable eslint/no-underscore-dangle -- the names are those of smtp-server */

import { randomBytes } from "node:crypto";
import type { AddressInfo, Server, Socket } from "node:net";

import { SMTPServer } from "smtp-server";
import type { SMTPServerOptions } from "smtp-server";

import { accountLogins, credentialCheck } from "#shared/app/credentials.ts";
import type { CheckCredentials } from "#shared/app/credentials.ts";
import type { Submit } from "#shared/app/submission.ts";
import type { Clock } from "#shared/domain/clock.ts";
import type { HttpServiceConfig, SmtpInterface } from "#shared/domain/config.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import type { Srs } from "#shared/domain/srs.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";
import type { SecretStore } from "#shared/ports/secret-store.ts";
import type { SenderDirectory } from "#shared/ports/sender-directory.ts";
import { proxyPeers } from "#shared/runtime/proxy-peers.ts";
import { listenOn } from "../listening-socket.ts";
import type { ListeningSocket } from "../listening-socket.ts";
import { authHandler } from "./auth-handler.ts";
import { clientNames } from "./client-name.ts";
import type { NameLookup } from "./client-name.ts";
import { FeederConnection } from "./connection.ts";
import type { FeederContext, FeederLog, FeederMetrics } from "./context.ts";
import { httpCredentialCheck } from "./http-auth.ts";
import type { PluginSession } from "./plugin-session.ts";
import { readProxiedClient } from "./proxied-socket.ts";
import { tlsOptions } from "./tls.ts";

export interface FeederOptions {
  readonly interface: SmtpInterface;
  /** Product name in the greeting. */
  readonly name: string;
  /** Our host name in the greeting and in the answer to EHLO. */
  readonly hostname: string;
  readonly submit: Submit;
  /** Holds the accounts. */
  readonly secrets: SecretStore;
  /** Says who may log in, in place of the accounts; null: the accounts. */
  readonly httpAuth: HttpServiceConfig | null;
  /** Asked about each sender; null: nobody is. */
  readonly senders: SenderDirectory | null;
  /** Whose addresses of ours lead back to senders; null: there are none. */
  readonly srs: Srs | null;
  /** Null: there are none. */
  readonly plugins: Plugins | null;
  readonly newMessageId: () => MessageId;
  /** For names of clients, where `reverseLookup` is on. */
  readonly dns: NameLookup;
  readonly clock: Clock;
  readonly log: FeederLog;
  readonly metrics: FeederMetrics;
  /** True: other processes listen on the same port (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** Listen on this one; left out: on one of its own. */
  readonly socket?: ListeningSocket | undefined;
}

export interface Feeder {
  readonly address: string;
  readonly port: number;
  readonly server: Server;
  /** Listen no more and let sessions come to their own end. Resolves with the last one. */
  retire(): Promise<void>;
  /** Take nothing new, let messages under way finish for at most `graceMs`, then cut off the rest. */
  drain(graceMs: number): Promise<void>;
  /** Cut off everything now. */
  close(): Promise<void>;
}

/** Resolves when it listens. Rejects when it cannot, naming interface and address. */
export async function startFeeder(options: FeederOptions): Promise<Feeder> {
  const { interface: settings, clock, httpAuth, secrets } = options;
  let draining = false;
  const context: FeederContext = {
    ...options,
    believes: { xclient: peersIn(settings.xclientFrom), xforward: peersIn(settings.xforwardFrom) },
    // whose accounts are elsewhere has none here to go by
    accountLogin: httpAuth === null ? accountLogins(secrets) : () => Promise.resolve(null),
    pluginSessions: new WeakMap(),
    draining: () => draining,
  };
  const server = new FeederServer(context, smtpServerOptions(options, context));
  await options.plugins?.tell("smtp:init", server);
  const { address, port } = await listen(server, settings, options);

  let stopped: Promise<void> | null = null;
  const retire = (): Promise<void> => (stopped ??= server.stopListening());
  const stop = (): Promise<void> => {
    draining = true;
    return retire();
  };
  return {
    address,
    port,
    server: server.server,
    retire,
    async drain(graceMs) {
      const allGone = stop();
      server.drainSessions();
      const grace = new AbortController();
      await Promise.race([allGone, clock.sleep(graceMs, grace.signal)]);
      grace.abort();
      server.destroySessions();
      await allGone;
    },
    async close() {
      const allGone = stop();
      server.destroySessions();
      await allGone;
    },
  };
}

class FeederServer extends SMTPServer {
  readonly #context: FeederContext;
  readonly #isProxy: (peer: string | undefined) => boolean;
  /** Those that take no more commands but are not closed yet, too; `connections` is only of those that do. */
  readonly #sessions = new Set<FeederConnection>();
  readonly #sessionPrefix = randomBytes(5).toString("hex");
  #sessionCount = 0;

  constructor(context: FeederContext, options: SMTPServerOptions) {
    super(options);
    this.#context = context;
    this.#isProxy = proxyPeers(context.interface.proxyFrom);
    this.on("error", (error) => {
      if (this.server.listening)
        context.log.info({ interface: context.interface.name, err: error }, "session failed");
    });
  }

  override connect(...[socket, socketOptions]: Parameters<SMTPServer["connect"]>): void {
    const { metrics } = this.#context;
    const session = new FeederConnection(this.#context, this, socket, socketOptions);
    this.connections.add(session);
    this.#sessions.add(session);
    metrics.sessionOpened();
    session.on("error", (error) => this._onError(error));
    session.once("closed", () => {
      this.#sessions.delete(session);
      metrics.sessionClosed();
    });
    session.init();
  }

  override _expectsProxyHeader(socket: Socket): boolean {
    return this.#isProxy(socket.remoteAddress);
  }

  override _handleProxy(...[socket, callback]: Parameters<SMTPServer["_handleProxy"]>): void {
    const id = `${this.#sessionPrefix}${(this.#sessionCount++).toString(36)}`;
    if (!this._expectsProxyHeader(socket)) return callback(null, { id });
    const { clock, log, interface: settings } = this.#context;
    const balancer = socket.remoteAddress;
    readProxiedClient(socket, { clock }, (result) => {
      if (result.ok) {
        callback(null, {
          id,
          ...(result.client && { remoteAddress: result.client.ip, remotePort: result.client.port }),
        });
        return;
      }
      log.warn(
        { interface: settings.name, ip: balancer, reason: result.reason },
        "no PROXY header from a balancer",
      );
      callback(new Error(result.reason));
    });
  }

  override _upgrade(...[socket, callback]: Parameters<SMTPServer["_upgrade"]>): void {
    socket.allowHalfOpen = false; // a client that goes in the handshake would be waited for until the idle timeout
    super._upgrade(socket, callback);
  }

  /** Resolves when every connection is gone, and each session has heard of its end (which is after the listener does). */
  async stopListening(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    await Promise.all([...this.#sessions].map(untilClosed));
  }

  drainSessions(): void {
    this.#destroyPending();
    for (const session of this.#sessions) session.drain();
  }

  destroySessions(): void {
    this.#destroyPending();
    for (const session of this.#sessions) session.destroy();
  }

  /** Connections that have not come to a session: the PROXY header or the TLS handshake is not done. */
  #destroyPending(): void {
    for (const socket of this._pendingSockets.values()) socket.destroy();
  }
}

function untilClosed(session: FeederConnection): Promise<void> {
  return new Promise((resolve) => {
    session.once("closed", resolve);
  });
}

/** Costs nothing where nobody is listed. */
function peersIn(list: readonly string[]): (peer: string) => boolean {
  return list.length === 0 ? () => false : proxyPeers(list);
}

function credentialCheckOf({ httpAuth, secrets, clock }: FeederOptions): CheckCredentials {
  const key = randomBytes(32);
  return httpAuth === null
    ? credentialCheck({ secrets, clock, key })
    : httpCredentialCheck(httpAuth, { clock, key });
}

/** XCLIENT and XFORWARD are commands only where somebody may say them. */
function disabledCommands({ xclientFrom, xforwardFrom }: SmtpInterface): string[] {
  return [
    ...(xclientFrom.length > 0 ? [] : ["XCLIENT"]),
    ...(xforwardFrom.length > 0 ? [] : ["XFORWARD"]),
    "WIZ",
    "SHELL",
    "KILL",
  ];
}

function smtpServerOptions(options: FeederOptions, context: FeederContext): SMTPServerOptions {
  const { interface: settings, name, hostname } = options;
  return {
    ...tlsOptions(settings, options.plugins),
    name: hostname,
    banner: settings.banner ?? name,
    secure: settings.secure,
    hideSTARTTLS: !settings.starttls,
    hideENHANCEDSTATUSCODES: false,
    lmtp: settings.lmtp,
    disabledCommands: disabledCommands(settings),
    authOptional: !settings.authentication || settings.authOptional,
    authRequiredMessage: "5.7.0 Authentication required",
    authMethods: ["PLAIN", "LOGIN"],
    allowInsecureAuth: true, // connection.ts decides
    disableReverseLookup: !settings.reverseLookup,
    resolver: clientNames(options.dns),
    maxClients: settings.maxClients,
    socketTimeout: settings.idleTimeoutMs,
    allowHalfOpen: true, // a client may close its side and still wait for our replies
    logger: false,
    onConnect: (session, callback) => {
      const seen = context.pluginSessions.get(session);
      if (seen?.has("smtp:connect") === true) void connected(seen, callback);
      else callback(); // at once: commands of the client may be there already
    },
    onSecure: (_socket, _session, callback) => callback(),
    onAuth: authHandler(context, credentialCheckOf(options)),
  };
}

/** What plugins say to a connection: nothing, or why it is refused. */
async function connected(seen: PluginSession, answer: (refused: Error | null) => void): Promise<void> {
  const refused = await seen.connected();
  if (refused === null || refused.code < 400) answer(null);
  else answer(Object.assign(new Error(refused.text), { responseCode: refused.code }));
}

async function listen(
  server: FeederServer,
  { name, host, port }: SmtpInterface,
  how: Pick<FeederOptions, "reusePort" | "socket">,
): Promise<AddressInfo> {
  try {
    return await listenOn(server.server, { host, port }, how);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`SMTP interface ${name} cannot listen on ${host}:${port}: ${reason}`, { cause: error });
  }
}
