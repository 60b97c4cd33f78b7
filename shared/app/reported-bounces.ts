/** The sink of `POST /report-bounce`: what a reporter such as `core/http-bounce` sends can be looked at. Nothing follows from it. */

import type { EpochMs } from "../domain/units.ts";
import type { BounceSink } from "../ports/bounce-sink.ts";
import { parseInput } from "./parse-input.ts";
import { ReportBounceBody } from "./tryout-schemas.ts";

/** In the order in which they are shown: a store may give them in another. */
const FIELDS = Object.keys(ReportBounceBody.shape);

/** `body` is a `ReportBounceBody`. Gives its message id. */
export async function reportBounce(sink: BounceSink, body: unknown, now: EpochMs): Promise<string> {
  const report = parseInput(ReportBounceBody, body);
  const given = Object.entries(report).filter((field): field is [string, string] => field[1] !== undefined);
  await sink.add({ receivedAt: now, fields: Object.fromEntries(given) });
  return report.id;
}

export async function listReportedBounces(sink: BounceSink) {
  const reported = await sink.list();
  const bounces = reported.map(({ receivedAt, fields }) => {
    const named = FIELDS.flatMap((name) => (name in fields ? [[name, fields[name]]] : []));
    return { ...Object.fromEntries(named), received: new Date(receivedAt).toISOString() };
  });
  return { bounces };
}
