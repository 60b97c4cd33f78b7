/** What ZoneMTA's own API has for trying `core/http-auth` and `core/http-bounce` out, and the routes that are there for its clients only. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import { putAccount } from "#shared/app/accounts.ts";
import { addApiKey } from "#shared/app/api-keys.ts";
import { SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { ApiHarness } from "../support/api-harness.ts";
import { startApi } from "../support/api-harness.ts";
import { submission } from "../support/app.ts";
import { address } from "../support/builders.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { collectingSubmit, testFeeder } from "../support/feeder-harness.ts";
import { patient } from "../support/patience.ts";
import { startRelay } from "../support/relay.ts";
import { eventually } from "../support/relay-process.ts";
import { SmtpTalker } from "../support/smtp-talker.ts";

const FORM = { "content-type": "application/x-www-form-urlencoded" };
const basic = (user: string, password: string) => ({ authorization: `Basic ${btoa(`${user}:${password}`)}` });

async function apiWithAnna(): Promise<ApiHarness> {
  const api = await startApi();
  await putAccount({ ...api.backend, randomBytes }, { user: "anna", password: "secret" });
  return api;
}

describe("GET /test-auth", () => {
  test("tells a right login from a wrong one and from none, in ZoneMTA's words", async () => {
    await using api = await apiWithAnna();
    const right = await api.ask("GET", "/test-auth?transport=SMTP", { headers: basic("anna", "secret") });
    assert.equal(right.status, 200);
    assert.deepEqual(Object.keys(right.json), ["user", "time"]);
    assert.equal(right.json.user, "anna");
    for (const headers of [basic("anna", "wrong"), basic("ben", "secret"), {}]) {
      const refused = await api.ask("GET", "/test-auth", { headers });
      assert.equal(refused.status, 401);
      assert.equal(refused.json.error, "Authentication required");
      assert.match(refused.json.time, /^\d{4}-\d\d-\d\dT/);
      assert.match(String(refused.headers["www-authenticate"]), /^Basic realm=/);
    }
    const failures = api.logged.filter(({ msg }) => msg === "authentication failed");
    assert.deepEqual(
      failures.map(({ user }) => user),
      ["anna", "ben"],
    );
    assert.doesNotMatch(JSON.stringify(api.logged), /secret|wrong/);
  });

  test("wants no API key, and takes none for a login", async () => {
    await using api = await apiWithAnna();
    const { key } = await addApiKey(
      { ...api.backend, clock: systemClock, random: randomBytes },
      { scopes: ["admin"], label: "" },
    );
    const [id = "", secret = ""] = key.split(".");
    assert.equal((await api.ask("GET", "/test-auth", { headers: basic("anna", "secret") })).status, 200);
    assert.equal((await api.ask("GET", "/test-auth", { headers: basic(id, secret) })).status, 401);
    const bearer = { authorization: `Bearer ${key}` };
    assert.equal((await api.ask("GET", "/test-auth", { headers: bearer })).status, 401);
  });

  test("is what core/http-auth can be pointed at", async () => {
    await using api = await apiWithAnna();
    const httpAuth = { url: `${api.url}/test-auth`, timeoutMs: 10 * SECOND, cacheMs: 0 };
    const settings = { authentication: true, allowInsecureAuth: true };
    await using feeder = await testFeeder({ settings, httpAuth, submit: collectingSubmit().submit });
    using talker = await SmtpTalker.ready(feeder.port);
    const login = (password: string) => talker.say(`AUTH PLAIN ${btoa(`\0anna\0${password}`)}`);
    assert.equal((await login("wrong")).code, 535);
    assert.equal((await login("secret")).code, 235);
  });
});

describe("POST /report-bounce", () => {
  test("keeps what core/http-bounce of a relay tells, with an API key in its URL", async () => {
    await using api = await startApi();
    const { key } = await addApiKey(
      { ...api.backend, clock: systemClock, random: randomBytes },
      { scopes: ["send"], label: "" },
    );
    const url = new URL("/report-bounce", api.url);
    [url.username = "", url.password = ""] = key.split(".");
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns(oneExample()),
      config: {
        zones: { default: { port: mx.port } },
        plugins: { "core/http-bounce": { enabled: "main", url: url.href } },
      },
    });
    const { messageId } = await relay.submit(submission({ recipients: [address("550-rcpt@one.example")] }));
    const [bounce] = await eventually("the report", patient(20 * SECOND), async () => {
      const reported = await api.backend.bounceSink.list();
      return reported.length > 0 ? reported : null;
    });
    assert.equal(bounce?.fields["id"], messageId);
    assert.equal(bounce?.fields["to"], "550-rcpt@one.example");
    assert.equal(bounce?.fields["action"], "reject");
    assert.match(String(bounce?.fields["response"]), /^550 /);
  });

  test("answers 202 and the id, and GET /bounces has ZoneMTA's fields, oldest first", async () => {
    await using api = await startApi();
    assert.deepEqual((await api.ask("GET", "/bounces")).json, { bounces: [] });
    const fields = {
      id: "17f2e4a6b5d000e1a3",
      to: "ben@example.org",
      returnPath: "anna@example.com",
      seq: "001",
      category: "recipient",
      time: "1690000000000",
      response: "550 5.1.1 no such user ✓",
      fbl: "campaign",
    };
    const form = new URLSearchParams({ ...fields, unknown: "x" }).toString();
    const first = await api.ask("POST", "/report-bounce", { headers: FORM, body: form });
    assert.deepEqual([first.status, first.text], [202, `"${fields.id}"`]);
    const second = await api.ask("POST", "/report-bounce?from=mta1&seq=002", {
      body: { id: "x", time: 1_690_000_000_000 },
    });
    assert.deepEqual([second.status, second.json], [202, "x"]);
    const { bounces } = (await api.ask("GET", "/bounces")).json;
    assert.equal(bounces.length, 2);
    const [{ received, ...kept }, later] = bounces;
    assert.deepEqual(kept, fields);
    assert.ok(Math.abs(Date.parse(received) - Date.now()) < patient(20 * SECOND));
    assert.deepEqual([later.id, later.time, later.seq], ["x", "1690000000000", "002"]);
  });

  test("cuts what is too long, and refuses what has no id or no end", async () => {
    await using api = await startApi();
    const report = (body: string) => api.ask("POST", "/report-bounce", { headers: FORM, body });
    assert.equal((await report(`id=1&response=${"x".repeat(10_000)}`)).status, 202);
    const [{ response }] = (await api.ask("GET", "/bounces")).json.bounces;
    assert.equal(response, "x".repeat(4_000));
    for (const [body, status] of [
      ["to=ben@example.org", 400],
      ["id=1&id=2", 400],
      ["", 400],
      [`id=1&response=${"x".repeat(100_000)}`, 413],
    ] as const)
      assert.equal((await report(body)).status, status, body.slice(0, 40));
    const text = await api.ask("POST", "/report-bounce", {
      headers: { "content-type": "text/plain" },
      body: "x",
    });
    assert.equal(text.status, 415);
    assert.equal((await api.ask("GET", "/bounces")).json.bounces.length, 1);
  });
});

describe("routes that are there for ZoneMTA's clients only", () => {
  test("PUT /store says what to do instead, and keeps nothing", async () => {
    await using api = await startApi();
    const { id } = (await api.ask("POST", "/send", { body: { from: "a@b.example", to: "c@d.example" } }))
      .json;
    const before = await api.stored(id);
    for (const path of [`/store/${id}`, "/store/17f2e4a6b5d000e1a3", "/store/"]) {
      const { status, json } = await api.ask("PUT", path, { body: "x".repeat(100_000) });
      assert.deepEqual([status, json.code], [501, "not-implemented"], path);
      assert.match(json.error, /POST \/send-raw/);
    }
    assert.equal(await api.stored(id), before);
    assert.deepEqual(
      api.logged.filter(({ msg }) => msg === "request failed"),
      [],
      "it is no fault of ours",
    );
  });

  test("GET /internals/clear-counters answers, and changes nothing that is counted", async () => {
    await using api = await startApi();
    await api.ask("POST", "/send", { body: { from: "a@b.example", to: "c@d.example" } });
    const counted = (await api.ask("GET", "/counter/zone/")).text;
    const { status, headers, json } = await api.ask("GET", "/internals/clear-counters");
    assert.deepEqual([status, json.counters], [200, {}]);
    assert.match(String(headers["content-type"]), /^text\/plain/);
    assert.equal((await api.ask("GET", "/counter/zone/")).text, counted);
  });
});
