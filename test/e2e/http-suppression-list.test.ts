/** The suppression list by HTTP, over a real socket and a real store. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import type { ApiHarness } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";

let api: ApiHarness;
before(async () => {
  api = await startApi();
});
after(() => api[Symbol.asyncDispose]());

const get = async (path: string) => (await api.ask("GET", path)).json;

describe("the suppression list", () => {
  test("takes addresses and domains, lists them with their reason, and gives them up by id", async () => {
    const one = (
      await api.ask("POST", "/suppressionlist", {
        body: { address: "Ben@Example.ORG", reason: "asked us to" },
      })
    ).json.suppressed;
    const two = (await api.ask("POST", "/suppressionlist", { body: { domain: "ÖBB.example" } })).json
      .suppressed;
    assert.deepEqual([one.address, one.reason, "domain" in one], ["ben@example.org", "asked us to", false]);
    assert.deepEqual([two.domain, two.reason, "address" in two], ["xn--bb-eka.example", null, false]);
    const paged = await get("/suppressionlist?pageSize=1");
    assert.deepEqual(paged.suppressed, [one]);
    assert.deepEqual((await get(`/suppressionlist?cursor=${encodeURIComponent(paged.cursor)}`)).suppressed, [
      two,
    ]);
    const answer = await api.ask("DELETE", "/suppressionlist", { body: { id: one.id } });
    assert.deepEqual([answer.status, answer.json], [200, { deleted: one.id }]);
    const again = await api.ask("DELETE", "/suppressionlist", { body: { id: one.id } });
    assert.deepEqual([again.status, again.json.code, again.json.path], [404, "not-found", "id"]);
  });

  test("takes a form, or the query, as ZoneMTA does; what the body says goes first", async () => {
    const form = { "content-type": "application/x-www-form-urlencoded" };
    const byForm = await api.ask("POST", "/suppressionlist?reason=query", {
      headers: form,
      body: "address=Form%2Bx@Example.org&reason=form",
    });
    assert.deepEqual(
      [byForm.status, byForm.json.suppressed.address, byForm.json.suppressed.reason],
      [200, "form+x@example.org", "form"],
    );
    const byQuery = await api.ask("POST", "/suppressionlist?domain=query.example");
    assert.deepEqual([byQuery.status, byQuery.json.suppressed.domain], [200, "query.example"]);
    const { id } = byQuery.json.suppressed;
    assert.equal((await api.ask("DELETE", `/suppressionlist?id=${id}`)).json.deleted, id);
    const off = await api.ask("DELETE", "/suppressionlist", {
      headers: form,
      body: "address=form%2bx@example.org",
    });
    assert.equal(off.status, 200);
    const twice = await api.ask("POST", "/suppressionlist?domain=a.example&domain=b.example");
    assert.deepEqual([twice.status, twice.json.path], [400, "domain"]);
  });

  for (const [what, body] of [
    ["neither", {}],
    ["both", { address: "a@b.example", domain: "b.example" }],
    ["an address that is none", { address: "nobody" }],
    ["a domain that is none", { domain: "a b" }],
    ["a field it does not know", { adress: "a@b.example" }],
    ["no object", []],
  ] as const) {
    test(`refuses ${what} with 400`, async () => {
      const { status, json } = await api.ask("POST", "/suppressionlist", { body });
      assert.equal(status, 400, JSON.stringify(json));
      assert.ok(json.error);
    });
  }

  test("refuses more than an entry needs with 413", async () => {
    const { status } = await api.ask("POST", "/suppressionlist", {
      body: { address: "a@b.example", reason: "x".repeat(20_000) },
    });
    assert.equal(status, 413);
  });
});
