import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Domain } from "#shared/domain/address.ts";
import { DAY, HOUR, MINUTE } from "#shared/domain/units.ts";
import type { HttpsAnswer, HttpsPage } from "#shared/ports/https-get.ts";

import { stsPolicies } from "../../../sender/delivery/mta-sts.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { fakeDns } from "../../support/fake-dns.ts";

const one = "one.example" as Domain;
const NAME = "_mta-sts.one.example";

function page(
  mode: string,
  mx = "mx.one.example",
  maxAge = 7 * 86_400,
): Extract<HttpsAnswer, { kind: "answered" }> {
  const body = `version: STSv1\nmode: ${mode}\nmx: ${mx}\nmax_age: ${maxAge}\n`;
  return { kind: "answered", status: 200, contentType: "text/plain; charset=utf-8", body };
}

/** A domain with a policy that is enforced, as far as the test does not change it. */
function world() {
  const clock = fakeClock();
  const dns = fakeDns({ [NAME]: { txt: ["v=STSv1; id=1;"], ttlSeconds: 60 } });
  const pages: HttpsPage[] = [];
  const web = { answer: page("enforce") as HttpsAnswer | Promise<HttpsAnswer> };
  const policyOf = stsPolicies({
    dns,
    clock,
    get: async (asked) => {
      pages.push(asked);
      return web.answer;
    },
  });
  const mxOf = async (domain = one) => (await policyOf(domain))?.mx.join(",") ?? null;
  return { clock, dns, pages, web, policyOf, mxOf };
}

const gone: HttpsAnswer = { kind: "failed", detail: "ECONNREFUSED" };

describe("the policy of a domain", () => {
  test("is fetched where RFC 8461 says, within its bounds, and then kept", async () => {
    const { pages, policyOf, dns } = world();
    assert.equal((await policyOf(one))?.mode, "enforce");
    assert.equal((await policyOf(one))?.mode, "enforce");
    assert.deepEqual(pages, [
      {
        host: "mta-sts.one.example",
        path: "/.well-known/mta-sts.txt",
        maxBytes: 65_536,
        timeoutMs: MINUTE,
      },
    ]);
    assert.deepEqual(dns.asked, [`txt ${NAME}`]);
  });

  test("is asked for once by all who want it at once", async () => {
    const { pages, mxOf } = world();
    const found = await Promise.all([mxOf(), mxOf(), mxOf()]);
    assert.deepEqual(found, ["mx.one.example", "mx.one.example", "mx.one.example"]);
    assert.equal(pages.length, 1);
  });

  test("is none without a record, and nothing is fetched", async () => {
    const { dns, pages, mxOf } = world();
    dns.names[NAME] = {};
    assert.equal(await mxOf(), null);
    assert.equal(await mxOf("two.example" as Domain), null);
    assert.equal(await mxOf("[192.0.2.1]" as Domain), null);
    assert.deepEqual(pages, []);
    assert.deepEqual(dns.asked, [`txt ${NAME}`, "txt _mta-sts.two.example"]);
  });

  test("is none when its mode is none", async () => {
    const { web, mxOf } = world();
    web.answer = page("none");
    assert.equal(await mxOf(), null);
  });

  for (const [what, answer] of [
    ["cannot be had", gone],
    ["is a redirect", { ...page("enforce"), status: 301 }],
    ["is not found", { ...page("enforce"), status: 404 }],
    ["is no text", { ...page("enforce"), contentType: "image/png" }],
    ["is text of another kind", { ...page("enforce"), contentType: "text/plainly" }],
    ["makes no sense", { ...page("enforce"), body: "<html>" }],
  ] as [string, HttpsAnswer][]) {
    test(`that ${what} is none, and is asked for again after five minutes`, async () => {
      const { web, pages, clock, mxOf } = world();
      web.answer = answer;
      assert.equal(await mxOf(), null);
      web.answer = page("enforce");
      await clock.advance(5 * MINUTE - 1);
      assert.equal(await mxOf(), null);
      assert.equal(pages.length, 1);
      await clock.advance(1);
      assert.equal(await mxOf(), "mx.one.example");
    });
  }

  for (const [what, change] of [
    ["the record is gone", ({ dns }) => delete dns.names[NAME]],
    ["the record is another", ({ dns }) => (dns.names[NAME] = { txt: ["v=spf1 -all"] })],
    ["the name servers fail", ({ dns }) => (dns.names[NAME] = { txt: "failed" })],
    ["the web server is gone", ({ web }) => (web.answer = gone)],
    ["the policy is broken", ({ web }) => (web.answer = { ...page("none"), contentType: "" })],
  ] as [string, (of: ReturnType<typeof world>) => void][]) {
    test(`stays in force when ${what}, until its time is over`, async () => {
      const here = world();
      const { clock, mxOf } = here;
      assert.equal(await mxOf(), "mx.one.example");
      change(here);
      await clock.advance(6 * DAY);
      assert.equal(await mxOf(), "mx.one.example");
      await clock.advance(DAY);
      assert.equal(await mxOf(), null);
    });
  }

  test("is fetched anew as soon as the record tells of another", async () => {
    const { clock, dns, web, mxOf } = world();
    assert.equal(await mxOf(), "mx.one.example");
    web.answer = page("enforce", "new.one.example");
    await clock.advance(HOUR);
    assert.equal(await mxOf(), "mx.one.example", "the id is the same");
    dns.names[NAME] = { txt: ["v=STSv1; id=2;"] };
    await clock.advance(MINUTE);
    assert.equal(await mxOf(), "new.one.example");
  });

  test("is given up when the domain says so", async () => {
    const { clock, dns, web, mxOf } = world();
    assert.equal(await mxOf(), "mx.one.example");
    web.answer = page("none");
    dns.names[NAME] = { txt: ["v=STSv1; id=2;"] };
    await clock.advance(MINUTE);
    assert.equal(await mxOf(), null);
  });

  test("is refreshed once a day, so that it does not run out", async () => {
    const { clock, pages, mxOf } = world();
    for (let day = 0; day < 20; day++) {
      assert.equal(await mxOf(), "mx.one.example");
      await clock.advance(DAY);
    }
    assert.equal(pages.length, 20);
  });

  test("is in force while news of it takes long", async () => {
    const { clock, web, mxOf } = world();
    assert.equal(await mxOf(), "mx.one.example");
    let answer: (late: HttpsAnswer) => void = () => undefined;
    web.answer = new Promise((resolve) => {
      answer = resolve;
    });
    await clock.advance(2 * DAY);
    const late = mxOf();
    await clock.advance(5_000);
    assert.equal(await late, "mx.one.example");
    answer(page("enforce", "new.one.example"));
    await clock.advance(1);
    assert.equal(await mxOf(), "new.one.example");
  });

  test("is that of the domain alone, not of the one above it", async () => {
    const { pages, mxOf } = world();
    assert.equal(await mxOf("sub.one.example" as Domain), null);
    assert.deepEqual(pages, []);
  });
});
