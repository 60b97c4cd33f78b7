/**
 * Every key of a configuration, with what it means. Copy what you need to `zonefleet.config.ts` in the folder where ZoneFleet is
 * started, or name a file in ZONEFLEET_CONFIG; a file of the same keys may be JSON. A key that is left out has its default.
 *
 * Times are milliseconds unless a comment says seconds, sizes are bytes, paths start at the folder of the file.
 */

import { defineConfig } from "zonefleet";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MIB = 1_024 * 1_024;

export default defineConfig({
  /** Started as root, it becomes this user (by name or number) once its ports are open; a service of systemd needs no root. */
  user: "zonefleet",
  /** Left out: the user's own. */
  group: "zonefleet",

  /** In the greeting and in Received. */
  name: "ZoneFleet",
  /** Our name in EHLO, Received, Message-ID and DSN. Left out: the name of the system. */
  hostname: "mail.example.com",

  queue: {
    /** Zone of mail that nothing else routes. */
    defaultZone: "default",
    /** What has been tried for so long bounces. */
    maxQueueTime: 5 * DAY,
    /** Waits between attempts. Left out: 5, 7, 8, 25, 75, 120 minutes, then 4 hours eleven times. */
    deferTimes: [5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, DAY, DAY],
    /** How long delivered and bounced mail can still be looked up. */
    history: 7 * DAY,
    /** What a sender holds when it dies is given to another after this. */
    lease: 120 * SECOND,
    /** Longest delay that a submission may ask for. */
    maxDelay: 365 * DAY,
  },

  /** Left out: `feeder` on 127.0.0.1:2525, without AUTH and TLS. What is given replaces it. */
  smtpInterfaces: {
    feeder: {
      host: "127.0.0.1",
      port: 2525,
      maxSize: 30 * MIB,
      maxRecipients: 1_000,
      /** Connections at once, in each process. */
      maxClients: 2_000,
      /** Of these from one IP address. Left out: any number. */
      maxClientsPerAddress: 200,
      /** Time without a byte from the client. */
      socketTimeout: 5 * MINUTE,
      banner: "Welcome",
      /** In greeting and EHLO. Left out: `hostname` above. */
      hostname: "smtp.example.com",
      /** True: clients are not looked up by reverse DNS. */
      disableReverseLookup: true,
    },
    submission: {
      /** Until there are a key and a certificate. */
      enabled: false,
      host: "0.0.0.0",
      port: 587,
      /** Nobody sends without AUTH; accounts are made with the `zonefleet` command. */
      authentication: true,
      /** True: who does not log in may send too. */
      authOptional: false,
      /** True: AUTH is offered in clear too. */
      allowInsecureAuth: false,
      starttls: true,
      /** PEM texts, or paths of PEM files. */
      key: "tls/key.pem",
      cert: "tls/cert.pem",
      ca: "tls/chain.pem",
      /** Load balancers that begin connections with a PROXY header. */
      useProxy: ["192.0.2.10", "192.0.2.128/25"],
      /** Proxies that say by XCLIENT whose session theirs is; the account that they say has logged in is taken to have. */
      useXClient: ["192.0.2.11"],
      /** Filters that say by XFORWARD where a message came from. */
      useXForward: ["192.0.2.12"],
      /** Certificates for clients that ask for another server name. */
      sniOptions: {
        "smtp.example.net": { key: "tls/net-key.pem", cert: "tls/net-cert.pem" },
        "*.example.org": { key: "tls/org-key.pem", cert: "tls/org-cert.pem" },
      },
    },
    submissions: {
      enabled: false,
      port: 465,
      /** TLS from the first byte. */
      secure: true,
      authentication: true,
      key: "tls/key.pem",
      cert: "tls/cert.pem",
    },
    local: {
      enabled: false,
      port: 2424,
      /** LMTP in place of SMTP: LHLO, and after DATA a reply for each recipient. */
      lmtp: true,
    },
  },

  api: {
    enabled: true,
    host: "127.0.0.1",
    port: 12_080,
    /** False: mail is not taken by HTTP. */
    maildrop: true,
    maxSize: 30 * MIB,
    maxRecipients: 1_000,
  },

  /**
   * Egress addresses. An entry without a ratio shares equally what the ratios leave of 1; 0 is never used. On AWS
   * `{ address: "elastic", name: "m1.example.com" }` is the Elastic IP of that name (docs/aws/zonefleet.config.ts).
   */
  pools: {
    default: ["192.0.2.1", "192.0.2.2"],
    marketing: [
      { address: "192.0.2.20", name: "m1.example.com" },
      { address: "192.0.2.21", name: "m2.example.com" },
      /** Warming up: a twentieth of the mail. */
      { address: "192.0.2.22", name: "m3.example.com", ratio: 0.05 },
    ],
  },

  /** `default` and `bounces` are always there. Names are in lower case. */
  zones: {
    default: {
      /** Name of a pool, or the addresses themselves. Left out: the pool `default`; without one, any address of the system. */
      pool: "default",
      /** Connections at once, all processes and destinations together. */
      connections: 100,
      /** `message`: all recipients of a message from one address · `from`: all mail of a return path. */
      poolHash: "message",
      /** Seconds that a connection waits for its next mail (300 at most; 0: each mail has one of its own), and mails on one. */
      connectionCache: { ttl: 5, reuseCount: 100 },
    },
    bulk: {
      pool: "marketing",
      connections: 40,
      /** Recipients tried in a second, a minute or an hour, all processes together, at an even pace. Left out: no limit. */
      throttling: "1000 messages/minute",
      /** True: its mail is accepted and waits. */
      disabled: false,
      /** What leads mail here: return path domains, recipient domains, client addresses, header values. */
      senderDomains: ["news.example.com"],
      recipientDomains: ["partner.example.net"],
      originAddresses: ["192.0.2.100"],
      routingHeaders: { "x-mail-class": ["bulk", "newsletter"] },
      /** Waits between attempts of its own. */
      deferTimes: [HOUR, 4 * HOUR, DAY],
      requireTLS: true,
      /** Addresses of a network card of this machine join the pool (not on AWS). */
      // interface: "eth1",
      ignoreIPv6: true,
      blockLocalAddresses: true,
    },
    relayed: {
      /** All its mail goes to this relay instead of each recipient's MX. */
      host: "relay.example.net",
      port: 465,
      secure: true,
      auth: { user: "us", pass: "secret" },
      /** PLAIN or LOGIN. Left out: the best that the relay offers. */
      authMethod: "PLAIN",
      /** Where `auth` is sent: `verified` TLS with a valid certificate · `encrypted` any TLS (a relay that signs its own) · `anywhere`. */
      credentials: "verified",
    },
    mailboxes: {
      /** A mail store that speaks LMTP: each recipient has his own answer. */
      host: "127.0.0.1",
      port: 24,
      lmtp: true,
    },
    uploaded: {
      /** Each mail is posted here as multipart/form-data: 2xx delivered, 4xx bounced, else tried again. */
      http: "https://app.example.com/incoming",
    },
    legacy: {
      /** Port of MX hosts. */
      port: 25,
      /** True: never STARTTLS. */
      ignoreTLS: true,
      preferIPv6: true,
    },
  },

  /** By recipient domain. */
  domainConfig: {
    default: { maxConnections: 5 },
    "gmail.com": { maxConnections: 20, disabledAddresses: ["192.0.2.2"] },
    /** Of all zones together. A recipient domain, or the site that several domains share. */
    "partner.example.net": { throttling: "20/second" },
    /** Over what its zone and `dns` say. */
    "six.example.net": { dnsOptions: { preferIPv6: true } },
  },

  dkim: {
    /** False: nothing is signed. */
    enabled: true,
    /** RSA of 2048 bits, or Ed25519. Left empty here as an example has no key: `privateKey` (PEM) or `path`. */
    keys: [],
    /** Header fields to sign beside the usual ones; `headerFields` in place of those is a list with From in it. */
    additionalHeaderFields: ["X-Campaign"],
    /** True: mail is signed for the EHLO name that it leaves by, too, where there is a key for that name or one above it. */
    signTransportDomain: false,
    /** False: signatures do not say when they were made (`t=`). */
    addSignatureTimestamp: true,
    /** Seconds that a signature holds (`x=`), such as a week; 0: for good. */
    signatureExpireIn: 0,
  },

  dns: {
    /** Left out: those of the system. */
    nameservers: ["192.0.2.53", "[2001:db8::53]:5353"],
    timeout: 10 * SECOND,
    /** False: mail hosts at loopback and private addresses are connected to. */
    blockLocalAddresses: true,
    ignoreIPv6: true,
    preferIPv6: false,
  },

  uploads: {
    /** User-Agent of mail that is posted by HTTP. */
    userAgent: "ZoneFleet",
  },

  /** False: what domains say of the TLS of their mail hosts (MTA-STS, RFC 8461) is not asked for. */
  mtaSts: { enabled: true },

  /** How long an egress address is not used for a destination that refused it. */
  blacklist: { ttl: 6 * HOUR },

  log: {
    /** silly, verbose, debug, info, warn or error. LOG_LEVEL goes before it. */
    level: "info",
    /** Events of mail as msgpack, each in a datagram, to a log server of ZoneMTA's kind. False: nowhere. */
    remote: { protocol: "udp4", host: "127.0.0.1", port: 31_239 },
    gelf: {
      /** True: lines of the log go to a Graylog server. */
      enabled: false,
      /** What messages begin with: `MTA [CODE] …`. */
      component: "mta",
      /** What we are called in them. Left out: `hostname` above. */
      hostname: "mail.example.com",
      /** From which level on; `info` has the events of mail too. */
      level: "warn",
      /** connection: `lan` (8 KB a datagram) or `wan` (1,420 bytes). */
      options: { graylogHostname: "127.0.0.1", graylogPort: 12_201, connection: "lan" },
    },
  },

  /** The built-in receiver for the reserved names (`*.test`, `example.com` …): true, or where it listens. */
  sandbox: { host: "127.0.0.1", port: 2526 },

  /** Where plugins of your own lie (docs/plugins.md); left out: beside this file. */
  // pluginsPath: "plugins",
  plugins: {
    "core/default-headers": {
      /** Interfaces whose mail may choose its zone by X-Sending-Zone. */
      allowRoutingHeaders: ["api", "bounce"],
      addMissing: ["message-id", "date"],
      /** True: a Date more than 5 minutes ahead delays the mail until then. */
      futureDate: false,
      xOriginatingIP: true,
    },
    /** A server of yours that says who may log in by SMTP, in place of the accounts made with the `zonefleet` command. */
    "core/http-auth": {
      enabled: false,
      url: "http://127.0.0.1:8080/auth",
      timeout: 10 * SECOND,
      /** How long a login that was right is not asked about again; 0: each is. */
      cacheTTL: 30 * SECOND,
    },
    /** A server of yours that is told of each sender, and says which zone his mail goes by, when, or that it is refused. */
    "core/http-config": {
      enabled: false,
      url: "http://127.0.0.1:8080/sender",
      timeout: 10 * SECOND,
      cacheTTL: 0,
    },
    /** Recipients of one message that comes by HTTP; the lesser of this and `api.maxRecipients` holds. */
    "core/api-send": { enabled: false, maxRecipients: 100 },
    /** Return paths in other domains are sent as SRS addresses in ours, for mail that is passed on. */
    "core/srs": {
      enabled: false,
      secret: "change me, please",
      rewriteDomain: "bounces.example.com",
      excludeDomains: ["example.com"],
    },
    /** More Received lines than this are a loop. */
    "core/delivery-loop": { maxHops: 35 },
    "core/email-bounce": {
      /** False: no DSN. */
      enabled: true,
      /** From of a DSN. */
      mailerDaemon: { name: "Mail Delivery Subsystem", address: "mailer-daemon@[HOSTNAME]" },
      sendingZone: "bounces",
      /** Interfaces whose mail gets no DSN. */
      disableInterfaces: [],
      /** The sender is told once that mail is late, at the first deferral so long after the first one. */
      delayEmail: { enabled: true, after: 3 * HOUR },
      /** What is other for mail of a zone. */
      zoneConfig: {
        bulk: {
          mailerDaemon: { name: "Newsletter", address: "bounces@news.example.com" },
          sendingZone: "bounces",
        },
        /** Mail of this zone gets no DSN. */
        relayed: { silent: true },
        /** As if this were not written, as in ZoneMTA. */
        bounces: { disabled: true, sendingZone: "default" },
      },
    },
    /** Each mail is shown to ClamAV's daemon; one with a virus is refused with 550. */
    "core/clamav": {
      enabled: false,
      host: "127.0.0.1",
      port: 3310,
      /** In place of host and port: the path of a Unix socket. */
      // socket: "/run/clamav/clamd.ctl",
      /** Whose mail is scanned; `*`: all, `api`: what comes by HTTP. */
      interfaces: ["feeder", "api"],
      ignoreOrigins: ["192.0.2.10"],
      /** Keep it at or under clamd's StreamMaxLength. */
      maxSize: 25 * MIB,
      /** When clamd does not answer: `accept` takes mail unseen, `defer` answers 451. */
      onFailure: "defer",
      timeout: 20 * SECOND,
    },
    /** Each mail is shown to Rspamd; what that rejects is refused with 550. */
    "core/rspamd": {
      enabled: false,
      url: "http://127.0.0.1:11333/checkv2",
      interfaces: ["feeder"],
      ignoreOrigins: [],
      /** Larger mail is taken unseen. */
      maxSize: 5 * MIB,
      /** Address that Rspamd is told: the client's (`true`), none, or this one. */
      ip: true,
      rejectSpam: true,
      /** In place of a refusal: 250, and nobody gets it. */
      dropSpam: false,
      /** `[***SPAM(6.50)***]` before the subject of what is spam, or near it. */
      rewriteSubject: false,
      /** True: headers that Rspamd's modules want added or removed are. */
      processSpamHeaders: false,
      /** True: what Rspamd would greylist is answered 451. */
      greylist: false,
      onFailure: "accept",
      timeout: 20 * SECOND,
    },
    /** The MD5 of each attachment, in the log and for other plugins. */
    "core/image-hashes": { enabled: false },
    /** Mail that comes back, and is to leave to the same recipient once more, is dropped: what is sent carries a mark in a header. */
    "core/loop-breaker": { enabled: false, secret: "change me", algo: "sha256", header: "X-Zone-Loop" },
    /** More mails of one sender to one recipient in `windowSize` seconds are dropped; debug: only logged. */
    "core/limiter": { enabled: false, limit: 250, windowSize: 1800, debug: false },
    /** Each bounce as a form POST with ZoneMTA's fields. */
    "core/http-bounce": { enabled: false, url: "http://localhost:8080/bounce" },
  },

  /**
   * Own rules for replies, asked before the built-in ones; checked at the start. ZoneMTA's lines of `regex,action,category,message`,
   * or a `.json` list of { pattern, codes, enhanced, action, category, message, status }.
   */
  // bouncesFile: "bounces.txt",

  /** Who is told of events by HTTP, each as JSON { events: […] }, until the answer is 2xx or 24 hours are over. */
  webhooks: [
    {
      url: "https://app.example.com/mail-events",
      /** Left out: all. */
      types: ["delivery", "deferral", "bounce", "expiry", "suppression", "drop"],
      /** Signs each request: X-ZoneFleet-Signature: t=<seconds>,v1=<hex HMAC-SHA256 of "<seconds>.<body>">. */
      secret: "change me",
    },
  ],
});
