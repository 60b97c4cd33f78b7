/**
 * The configuration as people write it: ZoneMTA's keys where their meaning is the same, with our defaults.
 * Times are milliseconds unless a key's comment says seconds, sizes are bytes. What one key says about another is checked in config-check.ts.
 */

import * as z from "zod";

import { EVENT_TYPES } from "../domain/event.ts";
import { DAY, HOUR, MIB, MINUTE, SECOND } from "../domain/units.ts";
import type { PluginsInput } from "./config-core-plugins.ts";
import { PluginsSchema } from "./config-core-plugins.ts";
import { DkimSchema } from "./config-dkim.ts";
import {
  account,
  bytes,
  count,
  domain,
  duration,
  entryName,
  headerName,
  host,
  httpUrl,
  ip,
  ipOrCidr,
  ipOrElastic,
  ipWithPort,
  line,
  listenPort,
  port,
  throttling,
  timeout,
} from "./config-fields.ts";
import { LogSchema } from "./config-log.ts";

/** ZoneMTA's ladder: 17 waits, the last attempt 48 h after the first. */
export const DEFAULT_DEFER_TIMES_MS: readonly number[] = [
  ...[5, 7, 8, 25, 75, 120].map((minutes) => minutes * MINUTE),
  ...Array.from({ length: 11 }, () => 240 * MINUTE),
];

const deferTimes = z.array(duration).min(1).max(1_000);
const strings = z.union([z.string(), z.array(z.string())]);

const queue = z.strictObject({
  /** Zone of mail that nothing else routes. */
  defaultZone: z.string().default("default"),
  /**
   * A recipient not reached by then bounces. RFC 5321 §4.5.4.1 asks for four to five days at least; ZoneMTA has 30 and then
   * drops in silence. The default ladder ends after 48 h anyway; this is what bounds a longer one, and time in hold.
   */
  maxQueueTime: duration.default(5 * DAY),
  /** Waits between attempts; after the last the mail bounces. */
  deferTimes: deferTimes.default([...DEFAULT_DEFER_TIMES_MS]),
  /** How long delivered and bounced mail can still be looked up. */
  history: duration.default(7 * DAY),
  /** A sender that dies gives its mail back after this. */
  lease: timeout.min(SECOND).default(120 * SECOND),
  /** Longest delay that a submission may ask for. */
  maxDelay: duration.default(365 * DAY),
});

/** True is refused with advice in config-interfaces.ts: it would believe everybody. */
const peers = z.union([z.boolean(), z.array(ipOrCidr)]);

/** A chain in one piece or in several: PEM, or the path of a PEM file, each. */
const chain = z.union([z.string(), z.array(z.string()).max(20)]);
/** PEM, or the path of a PEM file, each. */
const certificate = z.strictObject({ key: z.string(), cert: z.string(), ca: chain.optional() });

const smtpInterface = z.strictObject({
  enabled: z.boolean().default(true),
  host: host.default("127.0.0.1"),
  port: listenPort.default(2525),
  /** In greeting and EHLO; left out: the one for all. */
  hostname: domain.optional(),
  maxSize: bytes.default(30 * MIB),
  maxRecipients: count.default(1_000),
  /** True: nobody sends without AUTH. Left out: false on loopback; anywhere else it has to be said. */
  authentication: z.boolean().optional(),
  /** True: who does not log in may send too. */
  authOptional: z.boolean().default(false),
  /** True: AUTH is offered in clear too. */
  allowInsecureAuth: z.boolean().default(false),
  /** Peers whose connections begin with a PROXY header. */
  useProxy: peers.default(false),
  /** Peers that may say by XCLIENT whose session theirs is, and which account has logged in. */
  useXClient: peers.default(false),
  /** Peers that may say by XFORWARD where a message came from. */
  useXForward: peers.default(false),
  /** True: LMTP in place of SMTP, with a reply for each recipient after DATA. */
  lmtp: z.boolean().default(false),
  starttls: z.boolean().default(false),
  /** True: TLS from the first byte (port 465). */
  secure: z.boolean().default(false),
  /** PEM, or the path of a PEM file; so are `cert` and `ca`. */
  key: z.string().optional(),
  cert: z.string().optional(),
  ca: chain.optional(),
  /** Certificates for the server names that clients ask for (SNI): a name, or `*.` and a domain. */
  sniOptions: z.record(z.string(), certificate).default({}),
  banner: line.optional(),
  /** Connections at once, in each process. */
  maxClients: count.default(2_000),
  /** Of these from one IP address; left out: any number. */
  maxClientsPerAddress: count.optional(),
  /** Time without a byte from the client. RFC 5321 §4.5.3.2.7 asks for 5 minutes at least. */
  socketTimeout: timeout.default(5 * MINUTE),
  /** True: no name for the client's address in Received. */
  disableReverseLookup: z.boolean().default(true),
});

const api = z.strictObject({
  enabled: z.boolean().default(true),
  host: host.default("127.0.0.1"),
  port: listenPort.default(12_080),
  /** False: mail is not taken by HTTP. */
  maildrop: z.boolean().default(true),
  maxSize: bytes.default(30 * MIB),
  maxRecipients: count.default(1_000),
});

const poolEntry = z.union([
  ip,
  z.strictObject({
    /** `elastic`: an Elastic IP of the deployment on AWS, known by its name. */
    address: ipOrElastic,
    /** EHLO name; `hostname` when left out. */
    name: domain.optional(),
    /** Share of the pool; entries without one share the rest. 0: never used. */
    ratio: z.number().min(0).max(1_000_000).optional(),
  }),
]);
const pool = z.array(poolEntry).max(1_000);

/** Servers close a connection that is idle for longer (RFC 5321 §4.5.3.2.7); a larger number is meant as milliseconds. */
const MAX_IDLE_SECONDS = 300;
const secondsIdle = z
  .number()
  .min(0)
  .refine((seconds) => seconds <= MAX_IDLE_SECONDS, {
    message: `expected seconds, ${MAX_IDLE_SECONDS} at most (the unit is ZoneMTA's)`,
  });

const connectionCache = z.strictObject({
  /** Seconds, as in ZoneMTA, that a connection waits for its next mail; 0: each mail has one of its own. */
  ttl: secondsIdle.default(5),
  reuseCount: count.default(100),
});

export const ZoneSchema = z.strictObject({
  disabled: z.boolean().default(false),
  /**
   * Connections at once, all processes together. ZoneMTA has 10 a process, each of them a loop with a share of the queue;
   * here a connection is a few KiB, and what a destination can bear is `domainConfig.maxConnections`. It is wide, so that a
   * hundred destinations that are slow at once leave room for the others.
   */
  connections: count.default(500),
  /** Recipients tried in a period, all processes together: `100/minute`, or a second or an hour. */
  throttling: throttling.optional(),
  /** Name of a pool, or the addresses; left out: the pool `default`. */
  pool: z.union([z.string(), pool]).optional(),
  /** Name of a network card of this machine: its addresses join the pool. */
  interface: z.string().min(1).optional(),
  poolHash: z.enum(["message", "from"]).default("message"),
  /** Mail is posted here as a form, with ZoneMTA's fields, in place of SMTP. */
  http: httpUrl.optional(),
  /** Relay for all mail of the zone; left out: the MX of each recipient. */
  host: host.optional(),
  port: port.optional(),
  auth: z.strictObject({ user: z.string().min(1), pass: z.string().min(1) }).optional(),
  /** Left out: the best that the relay offers. */
  authMethod: z.enum(["PLAIN", "LOGIN"]).optional(),
  /** Where `auth` is sent, besides loopback: over TLS with a valid certificate, over any TLS, or in clear too. */
  credentials: z.enum(["verified", "encrypted", "anywhere"]).optional(),
  secure: z.boolean().default(false),
  /** True: the relay speaks LMTP (RFC 2033). */
  lmtp: z.boolean().default(false),
  ignoreTLS: z.boolean().default(false),
  requireTLS: z.boolean().default(false),
  ignoreIPv6: z.boolean().optional(),
  preferIPv6: z.boolean().optional(),
  blockLocalAddresses: z.boolean().optional(),
  connectionCache: connectionCache.prefault({}),
  deferTimes: deferTimes.optional(),
  senderDomains: z.array(domain).default([]),
  recipientDomains: z.array(domain).default([]),
  originAddresses: z.array(ip).default([]),
  routingHeaders: z.record(headerName, strings).default({}),
});

const domainLimit = z.strictObject({
  /** Connections at once of one zone to the domain's mail hosts, all processes together. */
  maxConnections: count.optional(),
  /** IP addresses, and names of Elastic IPs. */
  disabledAddresses: z.array(host).optional(),
  /** Recipients tried in a period, all processes and zones together. */
  throttling: throttling.optional(),
  /** Over what the zone and `dns` say. */
  dnsOptions: z
    .strictObject({
      ignoreIPv6: z.boolean().optional(),
      preferIPv6: z.boolean().optional(),
      blockLocalAddresses: z.boolean().optional(),
    })
    .prefault({}),
});

const dns = z.strictObject({
  /** Left out, empty, or false as in ZoneMTA: those of the system. */
  nameservers: z.union([z.literal(false), z.array(ipWithPort).max(8)]).optional(),
  /** True: mail hosts at loopback and private addresses are not connected to (ZoneMTA: false). */
  blockLocalAddresses: z.boolean().default(true),
  /** True as in ZoneMTA's zones: mail over IPv6 from an address without a PTR record is refused in many places. */
  ignoreIPv6: z.boolean().optional(),
  preferIPv6: z.boolean().default(false),
  /** For one question, all tries together. */
  timeout: timeout.default(10 * SECOND),
});

/** Each reads the event log for itself, many times a second. */
const MAX_WEBHOOKS = 20;

const webhook = z.strictObject({
  url: httpUrl,
  /** Left out: all. */
  types: z.array(z.enum(EVENT_TYPES)).min(1).optional(),
  /** Signs each request (HMAC-SHA256). */
  secret: z.string().min(1).max(500).optional(),
});

export const ConfigSchema = z.strictObject({
  /** Started as root, it becomes this user and group once its ports are open. */
  user: account.optional(),
  group: account.optional(),
  name: line.default("ZoneFleet"),
  hostname: domain.optional(),
  queue: queue.prefault({}),
  /** Left out: `feeder` on 127.0.0.1:2525. */
  smtpInterfaces: z.record(entryName, smtpInterface).prefault({ feeder: {} }),
  api: api.prefault({}),
  pools: z.record(entryName, pool).default({}),
  /** Merged over the built-in zones `default` and `bounces`. */
  zones: z.record(z.string(), ZoneSchema).default({}),
  /** By recipient domain; `default` is for all others. */
  domainConfig: z.record(z.string(), domainLimit).default({}),
  dkim: DkimSchema.prefault({}),
  dns: dns.prefault({}),
  /** Of mail that is posted by HTTP. */
  uploads: z.strictObject({ userAgent: line.default("ZoneFleet") }).prefault({}),
  /** RFC 8461. */
  mtaSts: z.strictObject({ enabled: z.boolean().default(true) }).prefault({}),
  blacklist: z.strictObject({ ttl: duration.default(6 * HOUR) }).prefault({}),
  /** Own rules for replies, asked before the built-in ones: ZoneMTA's lines of `regex,action,category,message`, or JSON. */
  bouncesFile: z.string().min(1).optional(),
  log: LogSchema.prefault({}),
  /** Who is told of events by HTTP. */
  webhooks: z.array(webhook).max(MAX_WEBHOOKS).default([]),
  /** The built-in receiver for the reserved names (`*.test`, `example.com` …). Left out: off in a configuration file. */
  sandbox: z
    .union([z.boolean(), z.strictObject({ host: host.default("127.0.0.1"), port: listenPort.default(2526) })])
    .default(false),
  /** Where plugins lie that are named by a path; left out: beside the configuration file. */
  pluginsPath: z.string().min(1).optional(),
  plugins: PluginsSchema.prefault({}),
});

/** What people write. */
export type ConfigInput = Omit<z.input<typeof ConfigSchema>, "plugins"> & { readonly plugins?: PluginsInput };
/** With defaults, each value in its one spelling. */
export type ConfigSettings = z.output<typeof ConfigSchema>;
export type ZoneSettings = ConfigSettings["zones"][string];
export type SmtpInterfaceSettings = ConfigSettings["smtpInterfaces"][string];
export type PoolSettings = ConfigSettings["pools"][string];
