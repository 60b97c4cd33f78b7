/** The table's stream of changes: bounces are reported. */

import withMiddleware from "@middy/core";

import { reportEvents } from "#shared/app/report-bounces.ts";

import type { EventConsumer } from "../events.ts";
import { eventsHandler } from "../events.ts";
import { background } from "../middleware/background.ts";
import { lambdaSubmit } from "../submit.ts";
import { observer } from "../telemetry.ts";
import { eventsOf, wireLambda } from "../wire.ts";

const wired = await wireLambda("events", import.meta.url);
const { backend, telemetry } = wired;
const reporting = {
  ...wired,
  ...backend,
  submit: lambdaSubmit(wired),
  observer: observer(telemetry),
  onUnreportable: ({ messageId }: { messageId: string }, error: unknown) =>
    telemetry.log.error({ component: "events", messageId, err: error }, "bounce not reportable"),
};

/** Each is given every event. */
const consumers: readonly EventConsumer[] = [
  { name: "dsn", consume: (events) => reportEvents(reporting, events) },
];

export const handler = withMiddleware(eventsHandler({ eventsOf, consumers, telemetry })).use(
  background(telemetry),
);
