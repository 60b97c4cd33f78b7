/**
 * One recorded set of requests, asked of the local server on the embedded store and of the Lambdas on AWS: status, headers and
 * bodies are the same to the byte, once ids and times are given names.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { readStore } from "#shared/app/health.ts";
import { matchRoute } from "#shared/app/match-route.ts";
import { ROUTE_NAMES } from "#shared/app/routes.ts";
import { noDeploymentSecret } from "#shared/aws/deployment-secret.ts";
import { dynamoSecretStore } from "#shared/aws/secret-store.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { createMetrics, METRICS_CONTENT_TYPE } from "#shared/runtime/metrics.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";
import { sharedLocalAws, stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import type { LambdaApi } from "../support/lambda-api.ts";
import { startLambdaApi } from "../support/lambda-api.ts";
import { noLocalAws } from "../support/local-aws.ts";
import type { Asked, Recorded } from "../support/recorded-requests.ts";
import {
  addRecordedAccount,
  asker,
  keysIn,
  RECORDED,
  RECORDED_CONFIG,
} from "../support/recorded-requests.ts";

interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Asks what was recorded, and gives the answer with names in place of ids and times. */
type Player = (recorded: Recorded) => Promise<string>;

/** Those a client goes by. Lengths and connections are the transport's. */
const HEADERS = [
  "content-type",
  "cache-control",
  "www-authenticate",
  "allow",
  "retry-after",
  "idempotent-replayed",
  "link",
  "vary",
  "content-encoding",
  "accept-encoding",
];

const skip = noLocalAws();
stopLocalAwsAtEnd();

describe("the API on both backends", { skip }, () => {
  let embedded: ApiHarness;
  let lambdas: LambdaApi;
  let onEmbedded: Player;
  let onAws: Player;
  let keysOnAws: ReadonlyMap<string, string>;
  before(async () => {
    embedded = await startApi({ config: RECORDED_CONFIG });
    lambdas = await startLambdaApi(parseConfig(RECORDED_CONFIG, { source: null, baseDir: "/" }));
    const { dynamo } = (await sharedLocalAws()).clients;
    const awsSecrets = dynamoSecretStore({
      dynamo,
      table: lambdas.names.table,
      clock: systemClock,
      sealing: noDeploymentSecret.sealing,
    });
    onEmbedded = player(await keysIn(embedded.backend.secrets), ({ method, path, headers, body }) =>
      embedded.ask(method, path, { headers, ...(body === null ? {} : { body }) }),
    );
    await addRecordedAccount(embedded.backend.secrets);
    await addRecordedAccount(awsSecrets);
    keysOnAws = await keysIn(awsSecrets);
    onAws = player(keysOnAws, ({ body, ...asked }) =>
      lambdas.ask({ ...asked, sourceIp: "127.0.0.1", ...(body === null ? {} : { body }) }),
    );
  });
  after(async () => {
    await embedded?.[Symbol.asyncDispose]();
    await lambdas?.[Symbol.asyncDispose]();
  });

  for (const recorded of RECORDED) {
    test(`${recorded.method} ${recorded.path}: ${recorded.name}`, async () => {
      assert.equal(await onAws(recorded), await onEmbedded(recorded));
    });
  }

  test("every route was asked for, well and wrongly", () => {
    const asked = RECORDED.flatMap(({ method, path }) => {
      const match = matchRoute(method, path.split("?")[0] ?? "");
      return match.kind === "found" ? [match.name] : [];
    });
    assert.deepEqual([...new Set(asked)].toSorted(), ROUTE_NAMES.toSorted());
    const once = ROUTE_NAMES.filter((name) => asked.filter((each) => each === name).length < 2);
    assert.deepEqual(once, []);
  });

  for (const { has, lacks, method, path } of [
    { has: "AWS", lacks: "one machine", method: "POST", path: "/uploads" },
    { has: "one machine", lacks: "AWS", method: "GET", path: "/events" },
  ]) {
    test(`${method} ${path}: ${lacks} says that it has none, for only ${has} has`, async () => {
      const asked = { name: "", method, path };
      const [there, missing] = has === "AWS" ? [onAws, onEmbedded] : [onEmbedded, onAws];
      assert.match(await there(asked), /^200\ncontent-type: application\/json/);
      assert.match(
        await missing(asked),
        /^404\ncontent-type: application\/json[^{]*\{"error":"[^"]+","code":"not-found"/,
      );
    });
  }

  test("GET /metrics: the same names and types, and the queue as it is", async () => {
    const own = createMetrics({
      zones: [],
      readStore: () => readStore(embedded.backend),
      totals: () => Promise.resolve(null),
      onError: assert.ifError,
    });
    const headers = { authorization: `Bearer ${keysOnAws.get("read")}` };
    const {
      status,
      headers: answered,
      text,
    } = await lambdas.ask({ method: "GET", path: "/metrics", headers });
    assert.deepEqual([status, answered["content-type"]], [200, METRICS_CONTENT_TYPE]);
    const local = await own.text();
    assert.deepEqual(typesIn(text), typesIn(local));
    const sizes = (of: string) => of.split("\n").filter((line) => line.startsWith("zonefleet_queue_size"));
    assert.deepEqual(sizes(text), sizes(local));
    assert.equal(sizes(text).length, 2);
  });
});

function player(keys: ReadonlyMap<string, string>, ask: (asked: Asked) => Promise<Answered>): Player {
  const names = new Map<string, string>();
  const asked = asker(keys, ask);
  return async (recorded) => {
    const { status, headers, text } = await asked(recorded);
    const shown = HEADERS.map((name) => `${name}: ${String(headers[name] ?? "-")}`);
    return named([String(status), ...shown, "", text].join("\n"), names);
  };
}

/** The first lines of each metric in Prometheus' text: what it is called and of which type it is. */
function typesIn(text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith("# TYPE "));
}

/** Ids by the order in which they were first seen, so that it shows which is which; times and cursors by their kind. */
function named(text: string, names: Map<string, string>): string {
  const nameOf = (id: string): string => {
    const name = names.get(id) ?? `<id ${names.size + 1}>`;
    names.set(id, name);
    return name;
  };
  return text
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<chance>")
    .replaceAll(/"cursor":"[^"]+"/g, '"cursor":"<cursor>"')
    .replaceAll(/\bcursor=[^&>]+/g, "cursor=<cursor>")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replaceAll(/\w{3}, \d\d? \w{3} \d{4} [\d:]{8} \+0000/g, "<date>")
    .replaceAll(/\b1[6-9]\d{11}\b/g, "<ms>")
    .replaceAll(/\b[0-7][0-9a-hjkmnp-tv-z]{25}\b/g, nameOf)
    .replaceAll(/(?<="(?:id|deleted)":"|no entry \\")[^"<\\]+(?=\\?")/g, nameOf);
}
