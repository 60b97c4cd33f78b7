/** What the Lambdas that report bounces have in common: the use case, from what was wired. */

import { reportEvents } from "#shared/app/report-bounces.ts";

import type { ReportsDeps } from "./events.ts";
import { lambdaSubmit } from "./submit.ts";
import { observer } from "./telemetry.ts";
import type { Wired } from "./wire.ts";

export function reporting(wired: Wired): ReportsDeps {
  const { backend, clock, telemetry } = wired;
  const deps = {
    ...wired,
    ...backend,
    submit: lambdaSubmit(wired),
    observer: observer(telemetry),
    onUnreportable: ({ messageId }: { messageId: string }, error: unknown) =>
      telemetry.log.error({ component: "events", messageId, err: error }, "bounce not reportable"),
  };
  const { backlog } = backend;
  return { backlog, clock, telemetry, report: (events) => reportEvents(deps, events) };
}
