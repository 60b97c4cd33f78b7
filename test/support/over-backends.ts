/** End-to-end tests over every backend: the same relay, the same mail, on LMDB and on the local AWS. */

import { describe } from "node:test";

import { stopLocalAwsAtEnd } from "./aws-backend.ts";
import { noLocalAws } from "./local-aws.ts";
import { startRelay } from "./relay.ts";
import type { Relay, RelayOptions } from "./relay.ts";

export type StartRelay = (options: RelayOptions) => Promise<Relay>;

let stopsAtEnd = false;

/** A suite for each backend; that of AWS is skipped aloud where there is no local one. */
export function describeOverBackends(name: string, suite: (startRelay: StartRelay) => void): void {
  if (!stopsAtEnd) stopLocalAwsAtEnd();
  stopsAtEnd = true;
  describe(`${name} (embedded)`, () => suite(startRelay));
  describe(`${name} (AWS)`, { skip: noLocalAws() }, () => {
    suite((options) => startRelay({ ...options, backend: "aws" }));
  });
}
