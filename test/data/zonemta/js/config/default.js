"use strict";

const os = require("os");
const { MINUTE } = require("../times");

module.exports = {
  name: "Default",
  ident: "out",
  dbs: { mongo: "mongodb://127.0.0.1:27017/out", redis: { host: "127.0.0.1", db: 3 }, sender: "out" },
  queue: { instanceId: os.hostname(), maxQueueTime: 24 * 60 * MINUTE, disableGC: true },
  plugins: {
    "core/example-plugin": false,
    "core/default-headers": {
      enabled: ["*"],
      allowRoutingHeaders: ["api", "bounce"],
      addMissing: ["message-id", "date"],
      futureDate: true,
    },
    "core/http-auth": { enabled: "receiver", url: process.env.AUTH_URL },
    "core/http-bounce": { enabled: "main", url: process.env.BOUNCE_URL },
    "core/email-bounce": { enabled: "main", delayEmail: { enabled: false, after: 3 * 60 * MINUTE } },
    "core/srs": {
      enabled: "sender",
      secret: "a cat, and a dog",
      rewriteDomain: "srs.sender.example",
      excludeDomains: ["own.example"],
    },
    "core/dkim": {
      enabled: "sender",
      domain: "",
      selector: "s1",
      path: "./keys/dkim.pem",
      signatureExpireIn: 3600,
    },
    "core/http-config": { enabled: false, check: (address) => address.length > 0 },
  },
  smtpInterfaces: {
    feeder: {
      enabled: true,
      host: "127.0.0.1",
      port: 2525,
      processes: 2,
      disableVersionString: true,
      maxRecipients: 1000,
    },
  },
  dns: { caching: true, cacheTTL: 600, nameservers: false },
  queueServer: { enabled: true, port: 12081 },
  dkim: { enabled: true, hashAlgo: "sha256" },
  pools: { default: [] },
  zones: {
    default: { processes: 1, connections: 10, pool: "default", ignoreIPv6: true },
    relayed: {
      host: "relay.example",
      port: process.env.RELAY_PORT,
      connections: 2,
      recipientDomains: ["relayed.example"],
    },
  },
  blacklist: { ttl: 60 * MINUTE },
  bouncesFile: __dirname + "/bounces.txt",
  pluginsPath: "./plugins",
};
