/** The whole configuration in its checked form. What people write, its defaults and its errors are in shared/runtime/config.ts. */

import type { DkimTerms } from "./dkim-terms.ts";
import type { EventType } from "./event.ts";
import type { OwnBounceRule } from "./own-bounce-rules.ts";
import type { Rate } from "./throttle.ts";
import type { Srs } from "./srs.ts";
import type { Zone, ZoneName } from "./zone.ts";

export interface Config {
  /** Whom the process becomes when its ports are open; null: it stays who it is. */
  readonly runAs: RunAs | null;
  /** Product name in the greeting and in Received. */
  readonly name: string;
  /** Our host name in greeting, Received, Message-ID and DSN. */
  readonly hostname: string;
  readonly queue: QueueConfig;
  readonly smtpInterfaces: readonly SmtpInterface[];
  readonly api: ApiConfig;
  readonly zones: ReadonlyMap<ZoneName, Zone>;
  readonly domains: DomainLimits;
  readonly dkim: DkimConfig;
  readonly dns: DnsConfig;
  /** `enabled`: what domains say of the TLS of their mail hosts is asked for, and obeyed (RFC 8461). */
  readonly mtaSts: { readonly enabled: boolean };
  /** Return paths of others are sent as ours; null: they are sent as they are. */
  readonly srs: Srs | null;
  readonly headers: HeaderConfig;
  /** The operator's server that says who may log in, in place of our accounts; null: the accounts. */
  readonly httpAuth: HttpServiceConfig | null;
  /** The operator's server that is asked about each sender before his mail is taken; null: none. */
  readonly httpConfig: HttpServiceConfig | null;
  readonly bounces: BounceConfig;
  /** Who is told of events by HTTP. */
  readonly receivers: readonly EventReceiver[];
  /** `userAgent`: of mail that is posted by HTTP. */
  readonly uploads: { readonly userAgent: string };
  readonly blacklist: { readonly ttlMs: number };
  readonly log: LogConfig;
  readonly sandbox: SandboxConfig;
  /** Modules that are loaded, in the order in which their hooks run. What core plugins do by configuration alone is above. */
  readonly plugins: readonly PluginConfig[];
  /** SHA-256 of everything above in a canonical form: two processes on one data folder must agree on it. */
  readonly digest: string;
}

export interface LogConfig {
  /** Null: `info`. The environment goes before it. */
  readonly level: LogLevel | null;
  /** Where events of mail are sent as msgpack; null: nowhere. */
  readonly remote: {
    readonly protocol: "udp4" | "udp6";
    readonly host: string;
    readonly port: number;
  } | null;
  /** Where lines of the log are sent in GELF; null: nowhere. */
  readonly gelf: GelfConfig | null;
}

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

export interface GelfConfig {
  readonly host: string;
  readonly port: number;
  /** Longest datagram. */
  readonly chunkBytes: number;
  /** What each message begins with. */
  readonly component: string;
  readonly hostname: string;
  /** From which level on. */
  readonly level: LogLevel;
}

/** A name, or a number. */
export interface RunAs {
  readonly user: string | number;
  /** Null: the user's own. */
  readonly group: string | number | null;
}

export interface QueueConfig {
  readonly defaultZone: ZoneName;
  /** A row older than this bounces. */
  readonly maxQueueTimeMs: number;
  /** How long final rows and the bodies of bounced mail are kept. */
  readonly historyMs: number;
  /** How long a lease lasts unless renewed. */
  readonly leaseMs: number;
  /** Longest delay that a submission may ask for. */
  readonly maxDelayMs: number;
}

export interface SmtpInterface {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly maxSize: number;
  readonly maxRecipients: number;
  /** In greeting and EHLO; null: ours. */
  readonly hostname: string | null;
  /** True: AUTH is offered, and required before MAIL. */
  readonly authentication: boolean;
  /** True: it is offered and not required. */
  readonly authOptional: boolean;
  /** True: AUTH is offered in clear too. */
  readonly allowInsecureAuth: boolean;
  /** IP addresses or CIDR blocks whose connections begin with a PROXY header; empty: none. */
  readonly proxyFrom: readonly string[];
  /** IP addresses or CIDR blocks of proxies that tell by XCLIENT whose session it is, and who has logged in; empty: none. */
  readonly xclientFrom: readonly string[];
  /** The same for XFORWARD, which tells of one message where it came from. */
  readonly xforwardFrom: readonly string[];
  /** True: LMTP (RFC 2033) in place of SMTP. */
  readonly lmtp: boolean;
  /** True: STARTTLS is offered. */
  readonly starttls: boolean;
  /** True: TLS from the first byte. */
  readonly secure: boolean;
  /** PEM texts; null: none configured. */
  readonly tls: Certificate | null;
  /** For clients that name a server (SNI) in place of `tls`, by that name in lower-case A-labels, or `*.` and a domain. */
  readonly certificates: ReadonlyMap<string, Certificate>;
  readonly banner: string | null;
  readonly maxClients: number;
  /** Of these from one IP address; null: any number. */
  readonly maxClientsPerAddress: number | null;
  readonly idleTimeoutMs: number;
  /** True: reverse DNS of each client is looked up for Received. */
  readonly reverseLookup: boolean;
}

/** PEM texts. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
  readonly ca: string | null;
}

/** A server of the operator's own that we ask by HTTP. */
export interface HttpServiceConfig {
  readonly url: string;
  /** For one question, waiting for its turn included. */
  readonly timeoutMs: number;
  /** How long an answer that lets somebody pass is remembered; 0: not at all. */
  readonly cacheMs: number;
}

export interface ApiConfig {
  readonly enabled: boolean;
  readonly host: string;
  readonly port: number;
  /** False: `/send` and `/send-raw` answer 404. */
  readonly maildrop: boolean;
  readonly maxSize: number;
  readonly maxRecipients: number;
}

/** Limits by recipient domain or site: an exact name wins over `default`. */
export interface DomainLimits {
  readonly default: DomainLimit;
  readonly byDomain: ReadonlyMap<string, DomainLimit>;
}

export interface DomainLimit {
  /** Connections at once of one zone to the site, over all processes. */
  readonly maxConnections: number;
  /** Egress addresses not to use for it. */
  readonly disabledAddresses: readonly string[];
  /** Recipients tried in a period, over all processes and zones; null: it has no rate of its own, and that of `default` holds. */
  readonly throttling: Rate | null;
  /** Which addresses of its hosts are used; null: as the zone says. */
  readonly addresses: {
    readonly ignoreIpv6: boolean | null;
    readonly preferIpv6: boolean | null;
    readonly blockLocalAddresses: boolean | null;
  };
}

export interface DkimConfig {
  /** True: the body hash is computed at accept, and mail is signed. */
  readonly enabled: boolean;
  readonly keys: readonly DkimKeySource[];
  /** The key of `core/dkim`, which signs all mail, whosever it is; null: there is none. */
  readonly allMailKey: AllMailKeySource | null;
  /** Of signatures whose key has none of its own. */
  readonly terms: DkimTerms;
  /** True: mail is signed for the EHLO name that it leaves by, too, where there is a key for that. */
  readonly signTransportDomain: boolean;
}

export interface DkimKeySource {
  readonly domain: string;
  readonly selector: string;
  /** PEM of an RSA (1024 bits at least, 2048 better) or Ed25519 private key. */
  readonly privateKey: string;
  /** Over those of the configuration. */
  readonly terms?: Partial<DkimTerms>;
}

export type AllMailKeySource = Omit<DkimKeySource, "domain"> & {
  /** Null: that of the return path, and without one that of From. */
  readonly domain: string | null;
};

export interface DnsConfig {
  /** `ip` or `ip:port`; null: those of the system. */
  readonly nameservers: readonly string[] | null;
  readonly timeoutMs: number;
  readonly blockLocalAddresses: boolean;
  readonly ignoreIpv6: boolean;
  readonly preferIpv6: boolean;
}

export interface HeaderConfig {
  /** Interfaces whose mail may choose its zone by X-Sending-Zone. */
  readonly allowRoutingHeaders: readonly string[];
  readonly addMissing: readonly ("message-id" | "date" | "to" | "mime-version")[];
  /** True: a Date more than 5 minutes ahead delays the mail until then. */
  readonly futureDate: boolean;
  readonly xOriginatingIp: boolean;
  /** More Received lines than this are a loop. */
  readonly maxHops: number;
}

export interface BounceConfig extends DsnConfig {
  /** Interfaces whose mail gets no DSN. */
  readonly disableInterfaces: readonly string[];
  /** The warning that mail is late: sent once, at the first deferral that comes so long after the first one. */
  readonly delay: { readonly enabled: boolean; readonly afterMs: number };
  /** For mail of these zones, in place of what is said for all. */
  readonly byZone: ReadonlyMap<ZoneName, DsnConfig>;
  /** Where the rules were read from; null: there are none. */
  readonly rulesFile: string | null;
  /** Of the operator, asked before ours. */
  readonly rules: readonly OwnBounceRule[];
}

export interface DsnConfig {
  /** True: no DSN is sent. */
  readonly disabled: boolean;
  /** From of a DSN. */
  readonly mailerDaemon: { readonly name: string; readonly address: string };
  /** The zone that DSNs are sent by. */
  readonly zone: ZoneName;
}

/** Somebody who is told of events by HTTP POST, each once and in order, until he answers 2xx. */
export interface EventReceiver {
  readonly url: string;
  /** `form`: one bounce at a time, with the fields of ZoneMTA's http-bounce · `json`: many events in one request. */
  readonly format: "form" | "json";
  readonly types: readonly EventType[];
  /** Signs what is sent; null: it is not signed. */
  readonly secret: string | null;
}

/** The built-in receiver for the reserved names of RFC 2606 and RFC 6761. */
export interface SandboxConfig {
  readonly enabled: boolean;
  readonly host: string;
  readonly port: number;
}

export const PLUGIN_CONTEXTS = ["receiver", "main", "sender"] as const;
export type PluginContext = (typeof PLUGIN_CONTEXTS)[number];

export interface PluginConfig {
  /** As in the configuration: `core/clamav`, `modules/zonemta-x` or a path. */
  readonly key: string;
  readonly source: PluginSource;
  readonly contexts: readonly PluginContext[];
  /** True: when it cannot be loaded, the rest starts without it. */
  readonly optional: boolean;
  /** Longest time for one of its hooks; null: the usual ones. */
  readonly hookTimeoutMs: number | null;
  /** All that stands under its key, as JSON has it. */
  readonly options: Readonly<Record<string, unknown>>;
}

export type PluginSource =
  /** Part of the program. */
  | { readonly kind: "core"; readonly name: string }
  /** A package among the `node_modules` of `baseDir`. */
  | { readonly kind: "package"; readonly name: string; readonly baseDir: string }
  /** Absolute path. */
  | { readonly kind: "file"; readonly path: string };
