import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { SECOND } from "#shared/domain/units.ts";
import type { ConfigInput } from "#shared/runtime/define-config.ts";
import { parse, refusal } from "../../support/config.ts";

describe("a server of the operator's", () => {
  test("is not asked unless it is enabled", () => {
    const url = "http://127.0.0.1:8080/";
    const config = parse({ plugins: { "core/http-auth": { url }, "core/http-config": { url } } });
    assert.deepEqual([config.httpAuth, config.httpConfig], [null, null]);
  });

  test("is asked where it is, with bounds that have defaults", () => {
    const plugin = { enabled: "receiver" as const, url: "https://auth.example/login?app=1" };
    const config = parse({ plugins: { "core/http-auth": plugin, "core/http-config": plugin } });
    assert.deepEqual(config.httpAuth, { url: plugin.url, timeoutMs: 10 * SECOND, cacheMs: 30 * SECOND });
    assert.deepEqual(config.httpConfig, { url: plugin.url, timeoutMs: 10 * SECOND, cacheMs: 0 });
  });

  test("has to be named when it is enabled", () => {
    for (const name of ["core/http-auth", "core/http-config"]) {
      assert.deepEqual(refusal({ plugins: { [name]: { enabled: true } } }), [
        `plugins["${name}"].url: is missing: which server is to be asked?`,
      ]);
    }
  });
});

describe("core/api-send", () => {
  const limit = (input: ConfigInput) => parse(input).api.maxRecipients;

  test("limits the recipients of a mail by HTTP when it is enabled, to 100 unless told", () => {
    assert.equal(limit({}), 1_000);
    assert.equal(limit({ plugins: { "core/api-send": { maxRecipients: 5 } } }), 1_000);
    assert.equal(limit({ plugins: { "core/api-send": { enabled: true } } }), 100);
    assert.equal(limit({ plugins: { "core/api-send": { enabled: true, maxRecipients: 5 } } }), 5);
  });

  test("never allows more than api.maxRecipients", () => {
    const plugins = { "core/api-send": { enabled: true, maxRecipients: 50 } };
    assert.equal(limit({ api: { maxRecipients: 20 }, plugins }), 20);
  });
});
