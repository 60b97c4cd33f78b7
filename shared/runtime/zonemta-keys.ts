/**
 * Keys of ZoneMTA that are none here, each with the reason or with what to write in its place. Whoever writes such a key by hand is told
 * so (config-errors.ts), and `zonefleet import-config` leaves it out for the same reason (cli/zonemta).
 */

const PROCESSES = "the environment variable ZONEFLEET_PROCESSES says how many processes there are";
const STORE = "there is no database to name: the store is chosen by ZONEFLEET_BACKEND and ZONEFLEET_DATA";
const NO_DIALOGUES = "dialogues are not logged; each attempt is, with the peer's reply";
const ALL_OFFERED = "what an interface can do is offered";
const TLS_TERMS = "TLS 1.2 and later, with the ciphers of Node, for all interfaces";
const DNS_CACHE = "the DNS cache goes by the lifetime of each record";
const FOR_TRYING = "GET /test-auth asks the accounts, which are made with npx zonefleet account add";
const NO_EFFECT = "it has no effect in ZoneMTA either";

/** Why each has no meaning. A star stands for any one name. */
const WITHOUT_MEANING: readonly (readonly [paths: string, why: string])[] = [
  ["ident", "processes and log lines go by the name of the service that runs them"],
  ["dbs", STORE],
  ["queue.instanceId", "every process has its own name, and any process may send any mail"],
  ["queue.gfs queue.collection queue.db queue.mongodb queue.backend queue.leveldown queue.redisdown", STORE],
  ["queue.disableGC", "what is over is always cleared away, and nothing before its outcome is known"],
  ["queue.logQueuePolling", "the queue is not polled in a way that could be logged"],
  ["queueServer", "there is no queue server; processes meet in the store"],
  ["smtpInterfaces.*.processes zones.*.processes", PROCESSES],
  ["smtpInterfaces.*.disableVersionString", "the greeting never shows a version"],
  ["smtpInterfaces.*.logger log.queue log.mx log.feeder", NO_DIALOGUES],
  ["zones.*.logger zones.*.debug domainConfig.*.logger", NO_DIALOGUES],
  ["zones.*.logLevel", "the environment variable LOG_LEVEL is for all zones"],
  ["zones.*.resolveIp", NO_EFFECT],
  ["smtpInterfaces.*.authMethods", "AUTH is PLAIN or LOGIN, whichever the client takes"],
  [
    "smtpInterfaces.*.disabledCommands",
    "what is offered follows from authentication, starttls and the lists",
  ],
  [
    "smtpInterfaces.*.hideSTARTTLS smtpInterfaces.*.hidePIPELINING smtpInterfaces.*.hide8BITMIME",
    ALL_OFFERED,
  ],
  ["smtpInterfaces.*.hideSMTPUTF8 smtpInterfaces.*.hideSize", ALL_OFFERED],
  ["smtpInterfaces.*.ciphers smtpInterfaces.*.minVersion smtpInterfaces.*.dhparam", TLS_TERMS],
  ["smtpInterfaces.*.secureProtocol smtpInterfaces.*.secureOptions", TLS_TERMS],
  ["smtpInterfaces.*.secured", "no proxy takes TLS off before us: it would have to be believed"],
  ["smtpInterfaces.*.closeTimeout", "a drain gives all connections the same time"],
  ["dns.caching dns.cacheTTL", DNS_CACHE],
  ["dns.blockDomains zones.*.blockDomains", NO_EFFECT],
  ["api.hostname", NO_EFFECT],
  ["api.user api.pass", FOR_TRYING],
  ["log.syslog", "the log is on standard output, which the service manager passes on"],
  ["dkim.debug", "bodies are not logged"],
  ["corePluginsPath", "core plugins are part of the program"],
];

/** What to write in the place of each. The last ones are of versions before 1.0. */
const WRITTEN_OTHERWISE: readonly (readonly [path: string, write: string])[] = [
  ["nameservers", "dns.nameservers"],
  ["domainConfig.defaults", "domainConfig.default"],
  ["smtpInterfaces.*.name", "banner, which is all of the text after the host name in the greeting"],
  ["feeder", "smtpInterfaces.feeder"],
  ["maxRecipients", "maxRecipients of each interface in smtpInterfaces"],
  ["mailerDaemon", 'plugins["core/email-bounce"].mailerDaemon'],
  ["bounces", 'plugins["core/http-bounce"], with enabled and url'],
  ["srs", 'plugins["core/srs"]'],
  ["rspamd", 'plugins["core/rspamd"]'],
  ["routingHeaders", "zones.<zone>.routingHeaders"],
  ["allowFutureMessages", 'plugins["core/default-headers"].futureDate'],
  ["getSenderConfig", 'plugins["core/http-config"].url'],
  ["log.bounceUrl", 'plugins["core/http-bounce"].url'],
];

export const LOOP_BREAKER_PACKAGE = "modules/zonemta-loop-breaker";
export const LIMITER_PACKAGE = "modules/zonemta-limiter";

/** Packages for ZoneMTA that could only fail here, and what does their work. */
const PACKAGES: Readonly<Record<string, string>> = {
  [LOOP_BREAKER_PACKAGE]: 'is part of the program: write "core/loop-breaker" in its place',
  [LIMITER_PACKAGE]: 'is part of the program: write "core/limiter" in its place, without prefix',
  "modules/zonemta-delivery-counters":
    "counts in Redis, which is not here: GET /metrics and the history of the queue have the numbers; remove it",
  "modules/zonemta-wildduck":
    "needs the MongoDB and the Redis of WildDuck, which plugins do not get here; remove it, or keep ZoneMTA for WildDuck",
};

/** Null: it is no key of ZoneMTA without a meaning here. */
export function whyWithoutMeaning(path: readonly PropertyKey[]): string | null {
  const found = WITHOUT_MEANING.find(([paths]) => paths.split(" ").some((one) => fits(one, path)));
  return found?.[1] ?? null;
}

/** Where that key of ZoneMTA is here; null: it is in its place, or no key of ZoneMTA. */
export function writtenOtherwise(path: readonly PropertyKey[]): string | null {
  return WRITTEN_OTHERWISE.find(([one]) => fits(one, path))?.[1] ?? null;
}

/** What is wrong with the name of a plugin; null: nothing. */
export function foreignPackage(name: string): string | null {
  return Object.hasOwn(PACKAGES, name) ? (PACKAGES[name] as string) : null;
}

function fits(pattern: string, path: readonly PropertyKey[]): boolean {
  const names = pattern.split(".");
  return names.length === path.length && names.every((name, i) => name === "*" || name === path[i]);
}
