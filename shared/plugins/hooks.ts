/**
 * The hooks that plugins may take, each with its arguments, and the contexts in which it runs. Names and arguments are ZoneMTA's
 * where they mean the same; docs/plugins.md says of each when it runs and what an error does.
 */

import type { Readable, Writable } from "node:stream";
import type { SecureContext } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { Socket } from "node:net";

import type { Headers, MimeNode } from "mailsplit";

import type { PluginContext } from "../domain/config.ts";
import type {
  AddressArgs,
  AuthView,
  BounceView,
  DelayView,
  DeliveryView,
  EnvelopeView,
  LogEntry,
  MailDrop,
  MessageInfo,
  ReleaseView,
  ResponseError,
  RoutingView,
  SessionView,
} from "./views.ts";

export interface HookArguments {
  "smtp:init": [server: object];
  "smtp:sni": [servername: string, data: { secureContext: SecureContext | null }];
  "smtp:connect": [session: SessionView];
  "smtp:auth": [auth: AuthView, session: SessionView];
  "smtp:mail_from": [address: AddressArgs, session: SessionView];
  "smtp:rcpt_to": [address: AddressArgs, session: SessionView];
  "smtp:data": [envelope: EnvelopeView, session: SessionView];
  "api:mail": [envelope: EnvelopeView, session: SessionView];
  "message:headers": [envelope: EnvelopeWithHeaders, messageInfo: MessageInfo];
  "message:store": [envelope: EnvelopeWithHeaders, body: Readable];
  "message:queue": [envelope: EnvelopeWithHeaders, messageInfo: MessageInfo];
  "queue:route": [envelope: EnvelopeView, routing: RoutingView];
  "queue:bounce": [bounce: BounceView, maildrop: MailDrop];
  "queue:delayed": [delivery: BounceView, maildrop: MailDrop, times: DelayView];
  "queue:release": [zone: string, data: ReleaseView];
  "sender:fetch": [delivery: DeliveryView];
  "sender:connecting": [delivery: DeliveryView];
  "sender:connected": [delivery: DeliveryView, connection: object, options: object, secure: boolean];
  "sender:tlserror": [delivery: DeliveryView, options: object, error: Error];
  "sender:connect": [delivery: DeliveryView, options: ConnectView];
  "sender:connection": [delivery: DeliveryView, connection: object];
  "sender:headers": [delivery: DeliveryView, connection: object];
  "sender:delivered": [delivery: DeliveryView, info: object];
  "sender:responseError": [delivery: DeliveryView, connection: object, error: ResponseError];
  "log:entry": [entry: LogEntry];
}

export type HookName = keyof HookArguments;

/** From `message:headers` on an envelope has them. */
export interface EnvelopeWithHeaders extends EnvelopeView {
  headers: Headers;
}

/** What a connection is about to be made with; `socket` set by a plugin is used in place of a new one. */
export interface ConnectView {
  host: string;
  port: number;
  localAddress: string | null;
  socket?: Socket | TLSSocket;
}

/** Tell that the hook is done: with nothing, or with what stops it. */
export type Next = (error?: unknown) => void;

/**
 * A handler that names all arguments and `next` is done when it calls `next`; one that does not name it is done when what it returns
 * has resolved.
 */
export type HookHandler<N extends HookName> = (...args: [...HookArguments[N], next: Next]) => unknown;

export type AnalyzerHandler = (envelope: EnvelopeView, source: Readable, destination: Writable) => unknown;
export type NodeFilter = (envelope: EnvelopeView, node: MimeNode) => unknown;
export type RewriteHandler = (
  envelope: EnvelopeView,
  node: MimeNode,
  source: Readable,
  destination: Writable,
) => unknown;
export type StreamHandler = (
  envelope: EnvelopeView,
  node: MimeNode,
  source: Readable,
  done: () => void,
) => unknown;

/**
 * Where each hook runs. A plugin's handler is called when the plugin is enabled in one of them. What takes mail in is `receiver` by
 * either front door; `main` is for plugins that ZoneMTA ran in its master.
 */
export const CONTEXTS_OF: Readonly<Record<HookName, readonly PluginContext[]>> = {
  "smtp:init": ["receiver"],
  "smtp:sni": ["receiver"],
  "smtp:connect": ["receiver"],
  "smtp:auth": ["receiver"],
  "smtp:mail_from": ["receiver"],
  "smtp:rcpt_to": ["receiver"],
  "smtp:data": ["receiver"],
  "api:mail": ["receiver", "main"],
  "message:headers": ["receiver", "main"],
  "message:store": ["receiver", "main"],
  "message:queue": ["receiver", "main"],
  "queue:route": ["receiver", "main"],
  "queue:bounce": ["main"],
  "queue:delayed": ["main"],
  "queue:release": ["main"],
  "sender:fetch": ["sender"],
  "sender:connecting": ["sender"],
  "sender:connected": ["sender"],
  "sender:tlserror": ["sender"],
  "sender:connect": ["sender"],
  "sender:connection": ["sender"],
  "sender:headers": ["sender"],
  "sender:delivered": ["sender"],
  "sender:responseError": ["sender"],
  "log:entry": ["receiver", "main", "sender"],
};

/** Those that see each mail by itself before it is sent: where one is taken, a transaction carries one recipient. */
export const PER_RECIPIENT: readonly HookName[] = [
  "sender:fetch",
  "sender:connecting",
  "sender:connected",
  "sender:tlserror",
  "sender:connect",
  "sender:connection",
  "sender:headers",
];

const BY_LOWER_CASE: ReadonlyMap<string, HookName> = new Map(
  (Object.keys(CONTEXTS_OF) as HookName[]).map((name) => [name.toLowerCase(), name]),
);

/** Null: there is no such hook. ZoneMTA does not mind capitals. */
export function hookName(text: string): HookName | null {
  return BY_LOWER_CASE.get(text.trim().toLowerCase()) ?? null;
}
