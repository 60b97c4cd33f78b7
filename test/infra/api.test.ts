/** What clients and an operator rely on in the API stack. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Match } from "aws-cdk-lib/assertions";
import type { Template } from "aws-cdk-lib/assertions";

import type { RouteName } from "#shared/app/routes.ts";
import { pathsOf, routes } from "#shared/app/routes.ts";
import { API_LAMBDAS, HAS_PLUGINS, LAMBDA_OF } from "../../lambdas/build.ts";
import { templates } from "../support/stacks.ts";
import { ofType, onlyOne, resourcesIn } from "../support/template-resources.ts";

const CONFIG = { zones: { bulk: {} }, webhooks: [{ url: "https://hooks.example.com" }] };
const { api, storage } = await templates({ config: CONFIG });

describe("the HTTP API", () => {
  const lambdaFor = router(api);

  test("leads every route to the Lambda that serves it, with a trailing slash and as HEAD too", () => {
    for (const [name, route] of Object.entries(routes))
      for (const path of pathsOf(route)) {
        const lambda = LAMBDA_OF[name as RouteName];
        const asked = path.replaceAll(/\{\w+\}/g, "x");
        assert.equal(lambdaFor(route.method, asked), lambda, asked);
        assert.equal(lambdaFor(route.method, `${asked}/`), lambda, `${asked}/`);
        if (route.method === "GET") assert.equal(lambdaFor("HEAD", asked), lambda, `HEAD ${asked}`);
      }
  });

  test("leads what plugins serve to the Lambda that has them", () => {
    for (const method of ["GET", "POST", "DELETE"])
      assert.equal(lambdaFor(method, "/plugin/it/users/anna"), HAS_PLUGINS, method);
  });

  test("leads all else to health, which answers that it is not there", () => {
    for (const path of ["/", "/nothing", "/nothing/at/all"])
      assert.equal(lambdaFor("GET", path), "health", path);
  });

  test("lets in so many requests as the record says, and logs each without query and body", () => {
    api.hasResourceProperties("AWS::ApiGatewayV2::Stage", {
      DefaultRouteSettings: Match.objectLike({ ThrottlingRateLimit: 200, ThrottlingBurstLimit: 400 }),
    });
    const format = String(onlyOne(api, "AWS::ApiGatewayV2::Stage")["AccessLogSettings"].Format);
    assert.match(format, /\$context\.routeKey/);
    assert.doesNotMatch(format, /\$context\.(path|requestOverride)|querystring|authorizer|body/i);
  });

  test("has a name of its own when there is a certificate, and then no other", async () => {
    api.resourceCountIs("AWS::ApiGatewayV2::DomainName", 0);
    const certificateArn = "arn:aws:acm:eu-central-1:123456789012:certificate/1";
    const { api: named } = await templates({ config: CONFIG, deployment: { api: { certificateArn } } });
    named.hasResourceProperties("AWS::ApiGatewayV2::DomainName", {
      DomainName: "api.mail.example.com",
      DomainNameConfigurations: [Match.objectLike({ SecurityPolicy: "TLS_1_2" })],
    });
    named.hasResourceProperties("AWS::ApiGatewayV2::Api", { DisableExecuteApiEndpoint: true });
  });
});

describe("the Lambdas", () => {
  const all = [...ofType(api, "AWS::Lambda::Function"), ...ofType(storage, "AWS::Lambda::Function")];

  test("run on Node 24 on arm64, and those of the API end before API Gateway gives up", () => {
    assert.equal(all.length, 12);
    for (const { Properties } of all) {
      assert.deepEqual([Properties["Runtime"], Properties["Architectures"]], ["nodejs24.x", ["arm64"]]);
      const isApi = API_LAMBDAS.some((name) => Properties["FunctionName"] === `zonefleet-test-${name}`);
      if (isApi) assert.equal(Properties["Timeout"], 29, Properties["FunctionName"]);
    }
  });

  test("have a log that is kept for a month, and no other", () => {
    for (const template of [api, storage]) {
      for (const { Properties } of ofType(template, "AWS::Logs::LogGroup"))
        assert.equal(Properties["RetentionInDays"], 30, Properties["LogGroupName"]);
      const logs = resourcesIn(template);
      for (const { Properties } of ofType(template, "AWS::Lambda::Function"))
        assert.equal(logs.get(Properties["LoggingConfig"].LogGroup.Ref)?.Type, "AWS::Logs::LogGroup");
    }
  });

  test("that have work each minute are called each minute, and a call that failed is not made again behind the next", () => {
    const rules = ofType(api, "AWS::Events::Rule").map(({ Properties }) => Properties);
    const called = rules.map(({ ScheduleExpression, Targets }) => {
      assert.deepEqual([ScheduleExpression, Targets.length], ["rate(1 minute)", 1]);
      assert.equal(Targets[0].RetryPolicy.MaximumRetryAttempts, 0);
      return nameOf(api, Targets[0].Arn);
    });
    assert.deepEqual(called.toSorted(), ["notify-again", "report-again", "sweep"]);
  });

  test("that tell receivers are not there when there are none", async () => {
    const { api: quiet } = await templates();
    const names = ofType(quiet, "AWS::Lambda::Function").map(({ Properties }) => Properties["FunctionName"]);
    assert.deepEqual(
      names.filter((name: string) => name.includes("notify")),
      [],
    );
  });
});

describe("the readers of the table's stream", () => {
  const sources = ofType(api, "AWS::Lambda::EventSourceMapping").map(({ Properties }) => Properties);
  const readers = sources.filter(({ StartingPosition }) => StartingPosition !== undefined);

  test("miss nothing, fail by the record, and give up in the end what always fails, into a queue that is kept", () => {
    assert.deepEqual(readers.map(({ FunctionName }) => refOf(api, FunctionName)).toSorted(), [
      "events",
      "notify",
    ]);
    assert.equal(onlyOne(api, "AWS::SQS::Queue")["MessageRetentionPeriod"], 14 * 24 * 60 * 60);
    for (const reader of readers) {
      assert.equal(reader["StartingPosition"], "TRIM_HORIZON");
      assert.deepEqual(reader["FunctionResponseTypes"], ["ReportBatchItemFailures"]);
      assert.ok(reader["MaximumRetryAttempts"] > 100 && reader["MaximumRetryAttempts"] <= 10_000);
      assert.equal(reader["BisectBatchOnFunctionError"], true);
      assert.ok(reader["DestinationConfig"].OnFailure.Destination);
      assert.match(JSON.stringify(reader["FilterCriteria"]), /NewImage/);
    }
  });

  test("of dead letters read those of every zone", () => {
    const queues = sources.filter((source) => !readers.includes(source));
    const read = queues.map(
      ({ EventSourceArn }) => JSON.stringify(EventSourceArn).match(/zonefleet-test-\w+-dead/)?.[0] ?? "none",
    );
    assert.deepEqual(
      read.toSorted(),
      ["bounces", "bulk", "default"].map((zone) => `zonefleet-test-${zone}-dead`),
    );
    for (const { FunctionResponseTypes } of queues)
      assert.deepEqual(FunctionResponseTypes, ["ReportBatchItemFailures"]);
  });
});

test("for a local AWS there are URLs in place of the HTTP API, and no hosts", async () => {
  const local = await templates({ config: CONFIG, isLocal: true });
  assert.deepEqual(Object.keys(local).toSorted(), ["api", "storage"]);
  local.api.resourceCountIs("AWS::ApiGatewayV2::Api", 0);
  local.api.resourceCountIs("AWS::Lambda::Url", API_LAMBDAS.length);
});

/** As API Gateway finds a route: the path itself before one with a greedy variable, and the default at last. */
function router(template: Template): (method: string, path: string) => string {
  const integrations = resourcesIn(template);
  const targets = new Map(
    ofType(template, "AWS::ApiGatewayV2::Route").map(({ Properties }) => {
      const integration = integrations.get(Properties["Target"]["Fn::Join"][1][1].Ref);
      return [Properties["RouteKey"] as string, nameOf(template, integration?.Properties["IntegrationUri"])];
    }),
  );
  return (_method, path) => {
    const [, segment = "", ...rest] = path.replace(/\/$/, "").split("/");
    const key = rest.length > 0 || path.endsWith("/") ? `/${segment}/{rest+}` : `/${segment}`;
    return targets.get(`ANY ${key}`) ?? targets.get(`ANY /${segment}`) ?? targets.get("$default") ?? "nobody";
  };
}

/** The Lambda of an ARN. */
function nameOf(template: Template, arn: { "Fn::GetAtt"?: [string, string] }): string {
  return lambdaOf(template, arn["Fn::GetAtt"]?.[0]);
}

function refOf(template: Template, reference: { Ref?: string }): string {
  return lambdaOf(template, reference.Ref);
}

function lambdaOf(template: Template, id = ""): string {
  const name: unknown = resourcesIn(template).get(id)?.Properties["FunctionName"];
  return String(name).replace("zonefleet-test-", "");
}
