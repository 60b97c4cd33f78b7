/** For Lambdas that nobody waits for: a fault is told in the log, then rises so that AWS tries again; metrics are written at the end. */

import type { Request } from "@middy/core";

import type { Telemetry } from "../telemetry.ts";

export function background({ log, publish }: Telemetry) {
  return {
    after: publish,
    onError: ({ error }: Request): void => {
      log.error({ err: error }, "invocation failed");
      publish();
    },
  };
}
