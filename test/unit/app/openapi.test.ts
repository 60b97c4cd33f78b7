import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { openApiDocument } from "#shared/app/openapi.ts";
import { pathsOf, ROUTE_NAMES, routes } from "#shared/app/routes.ts";

interface Operation {
  operationId: string;
  summary: string;
  security: object[];
  parameters: { name: string; in: string; required: boolean; schema: object }[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, { description: string; content: Record<string, { schema: object }> }>;
}
const document = openApiDocument() as unknown as {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object>; securitySchemes: Record<string, object> };
};
/** Status of the answer that a route is for. */
function answered(operationId: string): string {
  const name = ROUTE_NAMES.find((known) => operationId === known || operationId === `${known}One`);
  return String(name ? (routes[name].answer.status ?? 200) : assert.fail(operationId));
}
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

describe("the OpenAPI document", () => {
  test("has every route of the table under each of its paths, and nothing else", () => {
    const wanted = ROUTE_NAMES.flatMap((name) =>
      pathsOf(routes[name]).map((path) => `${routes[name].method.toLowerCase()} ${path}`),
    );
    assert.deepEqual(operations.map(({ path, method }) => `${method} ${path}`).toSorted(), wanted.toSorted());
  });

  test("is JSON, of version 3.1, with what the standard requires", () => {
    assert.match(document.openapi, /^3\.1\.\d$/);
    assert.ok(document.info.title && document.info.version);
    assert.deepEqual(JSON.parse(JSON.stringify(document)), document, "nothing in it is lost in JSON");
    const ids = operations.map(({ operation }) => operation.operationId);
    assert.equal(new Set(ids).size, ids.length, "operation ids are unique");
  });

  test("declares each parameter of a path, required, and no other", () => {
    for (const { path, operation } of operations) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const declared = operation.parameters.filter((parameter) => parameter.in === "path");
      assert.deepEqual(
        declared.map(({ name }) => name),
        inPath,
        path,
      );
      assert.ok(
        declared.every(({ required }) => required),
        path,
      );
    }
  });

  test("tells success and failure of each operation with a schema", () => {
    for (const { path, operation } of operations) {
      assert.ok(operation.responses[answered(operation.operationId)], path);
      assert.ok(operation.responses["400"], path);
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        assert.ok(description, `${path} ${status}`);
        assert.equal(content === undefined, status === "307", `${path} ${status}`); // a redirect has no body
        for (const { schema } of Object.values(content ?? {}))
          assert.ok(Object.keys(schema).length > 0, `${path} ${status}`);
      }
    }
  });

  test("refers only to what is there", () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(
      (match) => match[1] as string,
    );
    assert.ok(references.length > 0);
    for (const reference of references) {
      const target = reference
        .slice(2)
        .split("/")
        .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], document);
      assert.ok(target, reference);
    }
  });

  test("asks for a key wherever a scope is wanted", () => {
    for (const name of ROUTE_NAMES) {
      const [path = ""] = pathsOf(routes[name]);
      const security = document.paths[path]?.[routes[name].method.toLowerCase()]?.security;
      const { scope } = routes[name];
      const wanted = scope === "none" ? [] : scope === "login" ? ["login"] : ["apiKey", "apiKeyBasic"];
      assert.deepEqual(security?.flatMap(Object.keys), wanted, name);
      for (const scheme of wanted) assert.ok(document.components.securitySchemes[scheme], scheme);
    }
  });

  test("knows the fields of a mail", () => {
    const schema = document.paths["/send"]?.["post"]?.requestBody?.content["application/json"]?.schema as {
      properties: Record<string, object>;
      additionalProperties: boolean;
    };
    for (const field of ["from", "to", "bcc", "subject", "html", "attachments", "deferDelivery"]) {
      assert.ok(schema.properties[field], field);
    }
    assert.equal(schema.additionalProperties, false);
  });
});
