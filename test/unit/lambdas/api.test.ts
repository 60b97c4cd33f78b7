/** The handlers as API Gateway calls them: whole bodies in base64, header names in any case, whole answers. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { Context } from "aws-lambda";

import type { RouteName } from "#shared/app/routes.ts";
import { ROUTE_NAMES, routes } from "#shared/app/routes.ts";
import { MIB } from "#shared/domain/units.ts";
import type { ApiEvent, ApiResult } from "../../../lambdas/http.ts";
import { streamResult, wholeResult } from "../../../lambdas/http.ts";
import type { ApiHarness } from "../../support/api-harness.ts";
import { startApi } from "../../support/api-harness.ts";

let api: ApiHarness;
before(async () => {
  api = await startApi();
});
after(() => api[Symbol.asyncDispose]());

function call(name: RouteName, fields: Partial<ApiEvent> = {}): Promise<ApiResult> {
  const routeKey = `${routes[name].method} ${routes[name].path}`;
  const event: ApiEvent = {
    version: "2.0",
    routeKey,
    rawPath: "/",
    rawQueryString: "",
    headers: {},
    isBase64Encoded: false,
    requestContext: {
      accountId: "1",
      apiId: "x",
      domainName: "x",
      domainPrefix: "x",
      http: {
        method: routes[name].method,
        path: "/",
        protocol: "HTTP/1.1",
        sourceIp: "192.0.2.7",
        userAgent: "",
      },
      requestId: "r",
      routeKey,
      stage: "$default",
      time: "",
      timeEpoch: 0,
    },
    ...fields,
  };
  return api.handlers[name](event, {} as Context).then(wholeResult);
}

const jsonOf = ({ body }: ApiResult) => JSON.parse(body ?? "null");

describe("handlers behind API Gateway", () => {
  test("there is one for every route of the table", () => {
    assert.deepEqual(Object.keys(api.handlers).toSorted(), ROUTE_NAMES.toSorted());
  });

  test("take a body in base64 or plain, and headers in any case", async () => {
    const fields = JSON.stringify({ from: "a@b.example", to: "c@d.example", subject: "ü" });
    const headers = { "Content-Type": "application/json", "X-Authenticated-User": "shop" };
    const encoded = { body: Buffer.from(fields).toString("base64"), isBase64Encoded: true };
    for (const event of [
      { headers, ...encoded },
      { headers, body: fields },
    ]) {
      const sent = await call("send", event);
      assert.equal(sent.statusCode, 200, sent.body);
      const seen = jsonOf(await call("message", { pathParameters: { id: jsonOf(sent).id } }));
      assert.deepEqual([seen.meta.user, seen.meta.origin, seen.meta.subject], ["shop", "192.0.2.7", "ü"]);
    }
  });

  test("answer a stored message whole, in base64", async () => {
    const body = "From: a@b.example\r\nTo: c@d.example\r\n\r\nb\u00f6dy\r\n";
    const { id } = jsonOf(await call("sendRaw", { body, headers: { "content-type": "message/rfc822" } }));
    const fetched = await call("fetch", { pathParameters: { id }, rawQueryString: "body=yes" });
    assert.deepEqual([fetched.statusCode, fetched.isBase64Encoded], [200, true]);
    assert.equal(Buffer.from(fetched.body ?? "", "base64").toString(), "b\u00f6dy\r\n");
  });

  test("refuse as they do over HTTP", async () => {
    const empty = await call("send", { headers: {} });
    assert.deepEqual([empty.statusCode, jsonOf(empty).code], [400, "invalid-body"]);
    const missing = await call("message", { pathParameters: { id: "x" } });
    assert.deepEqual([missing.statusCode, jsonOf(missing).code], [404, "not-found"]);
    const key = await call("zones", { headers: { authorization: "Bearer x" } });
    assert.deepEqual([key.statusCode, jsonOf(key).code], [401, "unauthorized"]);
    const query = await call("queued", { pathParameters: { type: "active" }, rawQueryString: "pageSize=x" });
    assert.deepEqual([query.statusCode, jsonOf(query).path], [400, "pageSize"]);
  });

  test("an answer that is more than a Lambda can give is refused, not cut", async () => {
    async function* large(): AsyncIterable<Buffer> {
      for (let i = 0; i < 8; i++) yield Buffer.alloc(1 * MIB);
    }
    await assert.rejects(wholeResult(streamResult("text/plain", 8 * MIB, large())), /too large/);
  });
});
