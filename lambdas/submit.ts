/** The use case of taking mail in, for the Lambdas that do: the API's, and the one that reports bounces. */

import { randomBytes } from "node:crypto";

import type { Submit } from "#shared/app/submission.ts";
import { submitter } from "#shared/app/submit.ts";
import { messageIds } from "#shared/domain/ids.ts";
import type { Plugins } from "#shared/plugins/plugins.ts";

import { observer } from "./telemetry.ts";
import type { Wired } from "./wire.ts";

/** `plugins` null: none looks at the mail. */
export function lambdaSubmit(
  { config, backend, clock, telemetry }: Wired,
  plugins: Plugins | null = null,
): Submit {
  const newMessageId = messageIds(() => clock.now(), randomBytes);
  return submitter({ ...backend, config, clock, newMessageId, observer: observer(telemetry), plugins });
}
