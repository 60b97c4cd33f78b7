/**
 * Where ZoneFleet is deployed on AWS. Copy both files of this folder beside package.json and change them; `npm run synth` shows what
 * they would make, and docs/deploy.md how it is made.
 */

import { defineDeployment } from "zonefleet/deployment";

export default defineDeployment({
  /** In the name of everything: `zonefleet-production`. */
  environment: "production",
  region: "eu-central-1",
  /** Hosts are named `api.` and `smtp.` before it. */
  domain: "mail.example.com",
  /** The mail configuration, from the folder of this file. */
  config: "zonefleet.config.ts",
  vpc: "new",
  senders: { instanceType: "c7g.medium", min: 2, max: 4 },
  /** Who is written to when an alarm goes off. */
  alarmEmail: "postmaster@example.com",
});
