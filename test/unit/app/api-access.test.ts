import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";

import type { RequestHeaders } from "#shared/app/api-access.ts";
import { apiAccess, checkApiExposure, isLoopbackHost } from "#shared/app/api-access.ts";
import { addApiKey, apiKeyRing, KEY_TTL_MS } from "#shared/app/api-keys.ts";
import type { Scope } from "#shared/app/routes.ts";
import { DomainError } from "#shared/domain/errors.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { memorySecrets } from "../../support/memory-secrets.ts";

function setUp({ listensOnLoopback = true } = {}) {
  const secrets = memorySecrets();
  const clock = fakeClock();
  const authorize = apiAccess({ keys: apiKeyRing({ secrets, clock }), listensOnLoopback });
  const add = (scopes: string[]) => addApiKey({ secrets, clock, random: randomBytes }, { scopes, label: "" });
  const ask = async (headers: RequestHeaders, scope: Scope = "admin") =>
    (await authorize(headers, scope)).kind;
  return { secrets, clock, add, ask };
}

describe("access without any key", () => {
  test("is open on loopback", async () => {
    const { ask } = setUp();
    for (const host of ["localhost:12080", "127.0.0.1:12080", "[::1]:12080", "127.9.9.9", "localhost"]) {
      assert.equal(await ask({ host }), "granted", host);
    }
    assert.equal(await ask({}), "granted", "HTTP/1.0 has no Host");
  });

  test("is closed when the server listens for others too", async () => {
    assert.equal(await setUp({ listensOnLoopback: false }).ask({ host: "127.0.0.1" }), "unauthorized");
  });

  test("is closed to a request that came through a proxy", async () => {
    const { ask } = setUp();
    for (const name of [
      "forwarded",
      "x-forwarded-for",
      "x-forwarded-host",
      "x-forwarded-proto",
      "x-real-ip",
      "via",
    ]) {
      assert.equal(await ask({ host: "localhost", [name]: "127.0.0.1" }), "unauthorized", name);
    }
  });

  test("is closed to web pages, by their origin, their site or a name that was pointed at loopback", async () => {
    const { ask } = setUp();
    assert.equal(await ask({ host: "localhost", origin: "https://evil.example" }), "unauthorized");
    assert.equal(await ask({ host: "localhost", origin: "null" }), "unauthorized");
    assert.equal(await ask({ host: "localhost", "sec-fetch-site": "cross-site" }), "unauthorized");
    assert.equal(await ask({ host: "evil.example:12080" }), "unauthorized");
    assert.equal(await ask({ host: "127.0.0.1.evil.example" }), "unauthorized");
    assert.equal(await ask({ host: "localhost", origin: "http://localhost:12080" }), "granted");
    assert.equal(await ask({ host: "localhost", "sec-fetch-site": "same-origin" }), "granted");
  });

  test("closes soon after the first key is made", async () => {
    const { ask, add, clock } = setUp();
    assert.equal(await ask({ host: "localhost" }), "granted");
    await add(["send"]);
    await clock.advance(KEY_TTL_MS);
    assert.equal(await ask({ host: "localhost" }), "unauthorized");
  });
});

describe("access with keys", () => {
  test("goes by scope, and admin may all", async () => {
    const { ask, add } = setUp({ listensOnLoopback: false });
    const send = { authorization: `Bearer ${(await add(["send"])).key}` };
    const admin = { authorization: `bearer ${(await add(["admin"])).key}` };
    assert.equal(await ask(send, "send"), "granted");
    assert.equal(await ask(send, "read"), "forbidden");
    assert.equal(await ask(send, "admin"), "forbidden");
    for (const scope of ["send", "read", "admin"] as const) assert.equal(await ask(admin, scope), "granted");
  });

  test("is refused for a key that is not known, even where none would be needed", async () => {
    const { ask } = setUp();
    assert.equal(
      await ask({ host: "localhost", authorization: `Bearer 0123456789ab.${"A".repeat(43)}` }),
      "unauthorized",
    );
    assert.equal(await ask({ host: "localhost", authorization: "Basic eDp5" }), "unauthorized");
  });

  test("may come as Basic auth, the id as the user and the secret as the password", async () => {
    const { ask, add } = setUp({ listensOnLoopback: false });
    const { key } = await add(["send"]);
    const basic = (text: string) => ({ authorization: `Basic ${btoa(text)}` });
    assert.equal(await ask(basic(key.replace(".", ":")), "send"), "granted");
    assert.equal(await ask(basic(key.replace(".", ":")), "admin"), "forbidden");
    assert.equal(await ask(basic(`${key}:x`), "send"), "unauthorized");
    assert.equal(await ask(basic(key.replace(".", ":").slice(0, -1)), "send"), "unauthorized");
  });

  test("needs none where the route asks for none", async () => {
    assert.equal(
      await setUp({ listensOnLoopback: false }).ask({ authorization: "Basic eDp5" }, "none"),
      "granted",
    );
  });
});

describe("starting the API", () => {
  test("is refused on an address that others can reach while there is no key", async () => {
    const { secrets, add } = setUp();
    for (const host of ["0.0.0.0", "::", "192.0.2.1", "mail.example.com"]) {
      await assert.rejects(checkApiExposure({ enabled: true, host }, secrets), (error) => {
        assert.ok(error instanceof DomainError);
        assert.equal(error.code, "invalid-config");
        assert.match(error.message, /api-key add/);
        return true;
      });
    }
    await checkApiExposure({ enabled: false, host: "0.0.0.0" }, secrets);
    await checkApiExposure({ enabled: true, host: "127.0.0.1" }, secrets);
    await add(["admin"]);
    await checkApiExposure({ enabled: true, host: "0.0.0.0" }, secrets);
  });

  test("loopback is 127/8, ::1 and localhost, in any spelling of IPv6, and nothing that looks like it", () => {
    for (const host of [
      "127.0.0.1",
      "127.1.2.3",
      "::1",
      "0:0:0:0:0:0:0:1",
      "::ffff:127.0.0.1",
      "localhost",
      "a.localhost",
    ]) {
      assert.ok(isLoopbackHost(host), host);
    }
    for (const host of [
      "0.0.0.0",
      "::",
      "127.0.0.1.example",
      "localhost.example",
      "128.0.0.1",
      "127.1",
      "",
    ]) {
      assert.ok(!isLoopbackHost(host), host);
    }
  });
});
