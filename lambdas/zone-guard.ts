/**
 * Called by CloudFormation when the zones of a deployment change: one that still has mail may not be taken away, for no sender
 * would deliver it any more. Its refusal fails the update, and CloudFormation puts everything back as it was.
 */

import type {
  CloudFormationCustomResourceEvent,
  CloudFormationCustomResourceResponse,
  CloudFormationCustomResourceUpdateEvent,
} from "aws-lambda";

import { SECOND } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { QueueStore } from "#shared/ports/queue-store.ts";

import type { Log } from "./log.ts";

/** Says to CloudFormation how it went, at the URL that it gave. */
export type Answer = (url: string, response: CloudFormationCustomResourceResponse) => Promise<void>;

export interface ZoneGuardDeps {
  readonly queue: Pick<QueueStore, "list">;
  readonly answer: Answer;
  readonly log: Log;
}

/** Left alone on a first deployment and when all is taken down: then nothing is taken away beside what stays. */
export function zoneGuardHandler({ queue, answer, log }: ZoneGuardDeps) {
  return async (event: CloudFormationCustomResourceEvent): Promise<void> => {
    const refusal = event.RequestType === "Update" ? await refusalOf(queue, removedZones(event), log) : null;
    const { StackId, RequestId, LogicalResourceId } = event;
    await answer(event.ResponseURL, {
      Status: refusal === null ? "SUCCESS" : "FAILED",
      Reason: refusal ?? "",
      PhysicalResourceId: PHYSICAL_ID,
      StackId,
      RequestId,
      LogicalResourceId,
    });
  };
}

/** The same for ever: another one would make CloudFormation delete the one before. */
const PHYSICAL_ID = "zones";

function removedZones(event: CloudFormationCustomResourceUpdateEvent): ZoneName[] {
  const now = new Set(zonesOf(event.ResourceProperties));
  return zonesOf(event.OldResourceProperties).filter((zone) => !now.has(zone));
}

function zonesOf(properties: Readonly<Record<string, unknown>>): ZoneName[] {
  const zones = properties["Zones"];
  return Array.isArray(zones) ? (zones as ZoneName[]) : [];
}

/** Null: all of them are empty. */
async function refusalOf(
  queue: ZoneGuardDeps["queue"],
  zones: readonly ZoneName[],
  log: Log,
): Promise<string | null> {
  try {
    const full: ZoneName[] = [];
    for (const zone of zones) if (await hasMail(queue, zone)) full.push(zone);
    if (full.length === 0) return null;
    return `Zones that hold mail cannot be removed: ${full.join(", ")}. Put them back, route nothing to them, and remove them when "zonefleet zones" shows nothing queued, deferred or held.`;
  } catch (error) {
    log.error({ component: "zone-guard", err: error }, "zones could not be looked at");
    return "It is not known whether the zones that are removed hold mail. Deploy again.";
  }
}

async function hasMail(queue: ZoneGuardDeps["queue"], zone: ZoneName): Promise<boolean> {
  const page = await queue.list({
    zone,
    states: ["queued", "leased", "deferred", "held"],
    order: "oldest-first",
    limit: 1,
    cursor: null,
  });
  return page.rows.length > 0;
}

const ANSWER_TIMEOUT_MS = 10 * SECOND;

export const answerByHttp: Answer = async (url, response) => {
  const answered = await fetch(url, {
    method: "PUT",
    body: JSON.stringify(response),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  if (!answered.ok) throw new Error(`CloudFormation did not take the answer: ${answered.status}`);
};
