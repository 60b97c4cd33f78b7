/** The mail configuration of a deployment on AWS. docs/zonefleet.config.example.ts has every key. */

import { defineConfig } from "zonefleet";

export default defineConfig({
  hostname: "mail.example.com",
  smtpInterfaces: {
    /** Behind the load balancer, which tells by a PROXY header who the client is. */
    submission: {
      /** Until there are a key and a certificate; the load balancer is made with it. */
      enabled: false,
      host: "0.0.0.0",
      port: 587,
      authentication: true,
      starttls: true,
      key: "tls/key.pem",
      cert: "tls/cert.pem",
      useProxy: ["10.25.0.0/16"],
    },
  },
  /** Elastic IPs: the deployment makes one for each name. Each host sends from those that it holds just now. */
  pools: {
    default: [
      { address: "elastic", name: "m1.example.com" },
      { address: "elastic", name: "m2.example.com" },
    ],
    bulk: [
      { address: "elastic", name: "news1.example.com" },
      { address: "elastic", name: "news2.example.com" },
    ],
  },
  zones: {
    /** Receipts, passwords: what people wait for. */
    transactional: { connections: 50, pool: "default" },
    /** Newsletters. */
    bulk: { connections: 50, pool: "bulk", throttling: "1000/minute" },
  },
});
