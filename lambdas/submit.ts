/** The use case of taking mail in, for the Lambdas that do: the API's, and the one that reports bounces. */

import { randomBytes } from "node:crypto";

import type { Submit } from "#shared/app/submit.ts";
import { submitter } from "#shared/app/submit.ts";
import { messageIds } from "#shared/domain/ids.ts";

import { observer } from "./telemetry.ts";
import type { Wired } from "./wire.ts";

export function lambdaSubmit({ config, backend, clock, telemetry }: Wired): Submit {
  const newMessageId = messageIds(() => clock.now(), randomBytes);
  return submitter({ ...backend, config, clock, newMessageId, observer: observer(telemetry), plugins: null });
}
