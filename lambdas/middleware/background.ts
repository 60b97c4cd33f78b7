/** For Lambdas that nobody waits for: the log names the invocation, a fault is told in it, then rises so that AWS tries again; metrics are written at the end. */

import type { Request } from "@middy/core";

import type { Telemetry } from "../telemetry.ts";

export function background({ begin, log, publish }: Telemetry) {
  return {
    before: ({ context }: Request): void => begin(context.awsRequestId),
    after: publish,
    onError: ({ error }: Request): void => {
      log.error({ err: error }, "invocation failed");
      publish();
    },
  };
}
