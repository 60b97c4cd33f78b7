/** Lambdas of the API as API Gateway calls them, over a real store. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Context } from "aws-lambda";

import type { MessageId } from "#shared/domain/ids.ts";
import { MIB } from "#shared/domain/units.ts";
import type { UploadStore } from "#shared/ports/upload-store.ts";
import { apiEntry } from "../../../lambdas/api-entry.ts";
import type { ApiHandlers } from "../../../lambdas/api.ts";
import { apiHandlers } from "../../../lambdas/api.ts";
import { MAX_LAMBDA_BODY } from "../../../lambdas/http.ts";
import { sendHandlers } from "../../../lambdas/send.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { ApiHarness } from "../../support/api-harness.ts";
import { realSubmit, startApi } from "../../support/api-harness.ts";
import type { ApiEvent } from "../../../lambdas/http.ts";
import type { LambdaRequest } from "../../support/lambda-event.ts";
import { lambdaEvent } from "../../support/lambda-event.ts";
import { toldTelemetry } from "../../support/told-telemetry.ts";

let api: ApiHarness;
let handlers: ApiHandlers;
before(async () => {
  api = await startApi();
  const backend = { ...api.backend, uploads: noUploads };
  const common = { config: api.config, backend, clock: systemClock, log: toldTelemetry().log };
  const submit = realSubmit(api.config, api.backend);
  const authorize = () => Promise.resolve({ kind: "granted" as const, keyId: null });
  handlers = {
    ...apiHandlers({
      ...common,
      submit,
      metrics: () => Promise.resolve({ contentType: "text/plain", text: "" }),
    }),
    ...sendHandlers({ ...common, submit, senders: null, authorize, maxBodyBytes: MAX_LAMBDA_BODY }),
  };
});
after(() => api[Symbol.asyncDispose]());

const noUploads: UploadStore = {
  create: () => Promise.reject(new Error("not here")),
  get: () => Promise.resolve(null),
  delete: () => Promise.resolve(),
};

async function ask(request: LambdaRequest, served: Partial<ApiHandlers> = handlers) {
  const telemetry = toldTelemetry();
  const entry = apiEntry(served, { telemetry, clock: systemClock });
  const answer = await entry(lambdaEvent(request), {} as Context);
  const { statusCode: status, headers, body = "" } = answer;
  return { status, headers, body, json: body.startsWith("{") ? JSON.parse(body) : null, telemetry };
}

describe("a Lambda of the API", () => {
  test("finds the route by path, with and without the stage in front, a trailing slash, and what is in it", async () => {
    for (const [stage, path] of [
      ["$default", "/queued/active"],
      ["$default", "/queued/active/default/"],
      ["prod", "/queued/active/default"],
      ["queued", "/queued/active/d%65fault"],
    ] as const) {
      const { status, json } = await ask({ method: "GET", path, stage });
      assert.deepEqual([status, json?.type], [200, "active"], `${stage} ${path}`);
    }
  });

  test("finds the route under the path by which the API is mapped to a domain", async () => {
    for (const [basePath, path, routeKey] of [
      ["/mail", "/queued/active", "ANY /queued/{rest+}"],
      ["/mail/v1", "/queued/active/default/", "ANY /queued/{rest+}"],
      ["/mail", "/healthz", "ANY /healthz"],
      ["", "/queued/active", "ANY /queued/{rest+}"],
      ["", "/counter/zone/queued", "ANY /counter/{rest+}"],
    ] as const) {
      const { status } = await ask({ method: "GET", path, basePath, routeKey });
      assert.equal(status, 200, `${basePath} ${path}`);
    }
    const { status } = await ask({ method: "GET", path: "/queued/active", basePath: "/mail" });
    assert.equal(status, 404, "by the default route nothing says how long that path is");
  });

  test("answers what is not there as the local server does", async () => {
    const cases: [method: string, path: string][] = [
      ["GET", "/nothing"],
      ["GET", "/"],
      ["POST", "/zones"],
      ["GET", "/counter/zone/%zz"],
      ["DELETE", "/send"],
    ];
    for (const [method, path] of cases) {
      const [here, local] = [await ask({ method, path }), await api.ask(method, path)];
      assert.deepEqual([here.status, here.body], [local.status, local.text], `${method} ${path}`);
      assert.equal(here.headers["allow"], local.headers["allow"]);
    }
  });

  test("answers an event of its Function URL, which hands over text as text", async () => {
    const entry = apiEntry(handlers, { telemetry: toldTelemetry(), clock: systemClock });
    const host = "abcdefg0123456789.lambda-url.eu-central-1.on.aws";
    const event = (method: string, path: string, query: string, body?: string): ApiEvent => ({
      version: "2.0",
      routeKey: "$default",
      rawPath: path,
      rawQueryString: query,
      cookies: [],
      headers: { "content-type": "application/json; charset=utf-8" },
      ...(query === "" ? {} : { queryStringParameters: Object.fromEntries(new URLSearchParams(query)) }),
      requestContext: {
        accountId: "anonymous",
        apiId: "abcdefg0123456789",
        domainName: host,
        domainPrefix: "abcdefg0123456789",
        http: { method, path, protocol: "HTTP/1.1", sourceIp: "192.0.2.7", userAgent: "curl/8" },
        requestId: "request-2",
        routeKey: "$default",
        stage: "$default",
        time: "21/Nov/2026:03:00:00 +0000",
        timeEpoch: 1,
      },
      ...(body === undefined ? {} : { body }),
      isBase64Encoded: false,
    });
    const mail = JSON.stringify({ from: "a@b.example", to: "c@d.example", subject: "Grüße" });
    const sent = await entry(event("POST", "/send", "", mail), {} as Context);
    assert.equal(sent.statusCode, 200, sent.body);
    const { id } = JSON.parse(sent.body ?? "") as { id: string };
    const stored = await api.backend.queue.get(id as MessageId);
    assert.equal(stored?.message.subject, "Grüße");
    const listed = await entry(event("GET", "/queue", "state=queued"), {} as Context);
    assert.equal(listed.statusCode, 200, listed.body);
    assert.equal(listed.headers["x-request-id"], "request-2");
  });

  test("answers a route of another Lambda as nothing there", async () => {
    const { status } = await ask({ method: "GET", path: "/queued/active" }, { zones: handlers.zones });
    assert.equal(status, 404);
  });

  test("answers HEAD without a body, and every request with its id", async () => {
    const { status, body, headers } = await ask({ method: "HEAD", path: "/healthz" });
    assert.deepEqual([status, body, headers["x-request-id"]], [200, "", "request-1"]);
  });

  test("counts requests, and writes the counts once for each", async () => {
    const good = await ask({ method: "GET", path: "/healthz" });
    assert.deepEqual([good.telemetry.counts, good.telemetry.published.times], [{ Requests: 1 }, 1]);
    const refused = await ask({ method: "GET", path: "/nothing" });
    assert.deepEqual(refused.telemetry.counts, { Requests: 1, Refused: 1 });
    const notOffered = await ask({ method: "PUT", path: "/store/x" });
    assert.deepEqual([notOffered.status, notOffered.telemetry.counts], [501, { Requests: 1, Refused: 1 }]);
    const broken = { ...handlers, healthz: () => Promise.reject(new Error("our fault")) };
    const fault = await ask({ method: "GET", path: "/healthz" }, broken);
    assert.deepEqual([fault.status, fault.telemetry.counts], [500, { Requests: 1, Faults: 1 }]);
    assert.doesNotMatch(fault.body, /our fault/);
    assert.deepEqual(
      fault.telemetry.lines.map(({ level }) => level),
      ["error"],
    );
  });

  test("answers before its time is over, and says that nobody knows whether the mail is stored", async () => {
    const slow = apiHandlers({
      config: api.config,
      backend: api.backend,
      submit: () => new Promise(() => undefined),
      metrics: () => Promise.reject(new Error("not asked")),
      clock: systemClock,
      log: toldTelemetry().log,
    });
    const entry = apiEntry(slow, { telemetry: toldTelemetry(), clock: systemClock });
    const context = { getRemainingTimeInMillis: () => 501 } as Context;
    const body = JSON.stringify({ from: "a@b.example", to: "c@d.example" });
    const answer = await entry(lambdaEvent({ method: "POST", path: "/send", body }), context);
    assert.deepEqual([answer.statusCode, JSON.parse(answer.body ?? "").code], [503, "timeout"]);
    assert.equal(answer.headers["retry-after"], "5");
  });

  test("takes a body as text and in base64, and refuses text that has lost bytes on its way", async () => {
    const mail = (subject: string) =>
      `From: a@b.example\r\nTo: c@d.example\r\nSubject: ${subject}\r\n\r\nhi\r\n`;
    const entry = apiEntry(handlers, { telemetry: toldTelemetry(), clock: systemClock });
    const headers = { "content-type": "text/plain" };
    const sendText = async (body: string) => {
      const event = {
        ...lambdaEvent({ method: "POST", path: "/send-raw", headers }),
        body,
        isBase64Encoded: false,
      };
      const { statusCode, body: answer = "" } = await entry(event, {} as Context);
      return { status: statusCode, json: JSON.parse(answer) };
    };
    const good = await sendText(mail("grüße"));
    assert.equal(good.status, 200);
    assert.match(await api.stored(good.json.id), /Subject: grüße/);
    const lost = await sendText(mail("gr\ufffd\ufffde"));
    assert.deepEqual([lost.status, lost.json.code], [400, "invalid-body"]);
    assert.match(lost.json.error, /message\/rfc822/);
    const body = Buffer.from(mail("grüße"), "latin1");
    const raw = await ask({
      method: "POST",
      path: "/send-raw",
      headers: { "content-type": "message/rfc822" },
      body,
    });
    assert.equal(raw.status, 200, "as it is");
  });

  for (const [path, type] of [
    ["/send-raw", "message/rfc822"],
    ["/send", "application/json"],
  ] as const) {
    test(`refuses a body on ${path} that may not come through, and names the way for large mail`, async () => {
      const headers = { "content-type": type };
      const tooLarge = Buffer.alloc(MAX_LAMBDA_BODY + 1, " ");
      const { status, json } = await ask({ method: "POST", path, headers, body: tooLarge });
      assert.deepEqual([status, json.code], [413, "too-large"]);
      assert.match(json.error, /POST \/uploads .*POST \/send-raw\?upload=<id>/);
      assert.ok(json.error.includes(String(api.config.api.maxSize)), "it says how large mail may be");
      const event = lambdaEvent({ method: "POST", path, headers, body: tooLarge });
      assert.ok(JSON.stringify(event).length < 6 * MIB, "such a request does come through");
    });
  }
});
