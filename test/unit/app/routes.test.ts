import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { matchRoute } from "#shared/app/match-route.ts";
import { pathsOf, ROUTE_NAMES, routes } from "#shared/app/routes.ts";

const found = (method: string, path: string) => {
  const match = matchRoute(method, path);
  return match.kind === "found" ? { name: match.name, ...match.params } : match.kind;
};

describe("the route table", () => {
  test("finds each route by the paths it is known by", () => {
    for (const name of ROUTE_NAMES) {
      for (const path of pathsOf(routes[name])) {
        const concrete = path.replaceAll(/\{\w+\}/g, "x");
        const match = matchRoute(routes[name].method, concrete);
        assert.equal(match.kind === "found" && match.name, name, concrete);
      }
    }
  });

  test("has no two routes of one method that the same path could mean", () => {
    const shapes = ROUTE_NAMES.flatMap((name) =>
      pathsOf(routes[name]).map((path) => `${routes[name].method} ${path.replaceAll(/\{\w+\}/g, "{}")}`),
    );
    assert.equal(new Set(shapes).size, shapes.length);
  });

  test("takes a trailing slash as the optional parameter left out", () => {
    assert.deepEqual(found("GET", "/counter/zone/"), { name: "counter" });
    assert.deepEqual(found("GET", "/counter/zone"), { name: "counter" });
    assert.deepEqual(found("GET", "/counter/zone/a"), { name: "counter", zone: "a" });
    assert.deepEqual(found("PUT", "/message/abc/"), { name: "sendNow", id: "abc" });
    assert.deepEqual(found("DELETE", "/message/abc/001"), { name: "drop", id: "abc", seq: "001" });
  });

  test("decodes parameters, and says when an escape is none", () => {
    assert.deepEqual(found("GET", "/counter/zone/a%2Fb"), { name: "counter", zone: "a/b" });
    assert.equal(found("GET", "/counter/zone/%zz"), "malformed");
  });

  test("answers HEAD as GET", () => {
    assert.deepEqual(found("HEAD", "/zones"), { name: "zones" });
  });

  test("names the methods of a path that is there for others", () => {
    assert.deepEqual(matchRoute("POST", "/message/x"), {
      kind: "method",
      allow: ["DELETE", "GET", "HEAD", "PUT"],
    });
    assert.deepEqual(matchRoute("HEAD", "/send"), { kind: "method", allow: ["POST"] });
  });

  test("does not know other paths", () => {
    for (const path of [
      "/",
      "//",
      "/sendx",
      "/send/x",
      "/message",
      "/message/",
      "/fetch/",
      "/Send",
      "/queued",
      "/__proto__",
    ]) {
      assert.equal(found("GET", path), "missing", path);
    }
  });
});
