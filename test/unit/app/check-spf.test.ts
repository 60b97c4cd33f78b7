import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { checkSpf } from "#shared/app/check-spf.ts";
import { fakeDns } from "../../support/fake-dns.ts";
import type { FakeName } from "../../support/fake-dns.ts";

const IP = "192.0.2.3";

function ask(names: Record<string, FakeName>, ip = IP) {
  return checkSpf(fakeDns(names), { ip, domain: "a.example" });
}
const record = (text: string): FakeName => ({ txt: [text] });

describe("SPF", () => {
  const cases: [why: string, names: Record<string, FakeName>, result: string][] = [
    ["an address in the record passes", { "a.example": record("v=spf1 ip4:192.0.2.0/29 -all") }, "pass"],
    ["another one fails", { "a.example": record("v=spf1 ip4:192.0.2.64/29 -all") }, "fail"],
    ["what nothing says is neutral", { "a.example": record("v=spf1 ip4:192.0.2.64/29") }, "neutral"],
    ["other text records are none", { "a.example": { txt: ["hello", "v=spf10 -all"] } }, "none"],
    ["no such domain has none", {}, "none"],
    ["two records are an error", { "a.example": { txt: ["v=spf1 -all", "v=spf1 +all"] } }, "permerror"],
    [
      "a record that cannot be read is an error",
      { "a.example": record("v=spf1 ip4:192.0.2.3 nonsense") },
      "permerror",
    ],
    ["silence of the DNS is no verdict", { "a.example": { txt: "failed" } }, "temperror"],
    [
      "an include that passes counts, by its own qualifier",
      {
        "a.example": record("v=spf1 ~include:b.example -all"),
        "b.example": record("v=spf1 ip4:192.0.2.3 -all"),
      },
      "softfail",
    ],
    [
      "an include that fails is passed over",
      {
        "a.example": record("v=spf1 include:b.example ip4:192.0.2.3 -all"),
        "b.example": record("v=spf1 -all"),
      },
      "pass",
    ],
    [
      "an include of nothing is an error",
      { "a.example": record("v=spf1 include:b.example ip4:192.0.2.3 -all") },
      "permerror",
    ],
    [
      "redirect takes over, also the failure",
      { "a.example": record("v=spf1 redirect=b.example"), "b.example": record("v=spf1 ip4:192.0.2.9 -all") },
      "fail",
    ],
    ["redirect to nothing is an error", { "a.example": record("v=spf1 redirect=b.example") }, "permerror"],
    ["a is the domain's own address", { "a.example": { txt: ["v=spf1 a -all"], a: [IP] } }, "pass"],
    [
      "a with a prefix is its network",
      { "a.example": { txt: ["v=spf1 a/24 -all"], a: ["192.0.2.250"] } },
      "pass",
    ],
    [
      "mx is the addresses of the mail hosts",
      { "a.example": { txt: ["v=spf1 mx -all"], mx: [[10, "m.example"]] }, "m.example": { a: [IP] } },
      "pass",
    ],
    [
      "exists asks with its macros",
      {
        "a.example": record("v=spf1 exists:%{ir}.e.example -all"),
        "3.2.0.192.e.example": { a: ["127.0.0.2"] },
      },
      "pass",
    ],
    [
      "two names without records are passed over",
      { "a.example": record("v=spf1 a:x.example a:y.example ip4:192.0.2.3 -all") },
      "pass",
    ],
    [
      "a third one is an error",
      { "a.example": record("v=spf1 a:x.example a:y.example a:z.example ip4:192.0.2.3 -all") },
      "permerror",
    ],
  ];
  for (const [why, names, result] of cases)
    test(why, async () => assert.equal((await ask(names)).result, result));

  /** `n0` includes `n1`, and so on; the last one lets us pass. */
  const chain = (length: number): Record<string, FakeName> =>
    Object.fromEntries([
      ["a.example", record("v=spf1 include:n1.example -all")],
      ...Array.from({ length }, (_, i) => [
        `n${i + 1}.example`,
        record(i + 1 === length ? "v=spf1 +all" : `v=spf1 include:n${i + 2}.example -all`),
      ]),
    ]) as Record<string, FakeName>;

  test("ten lookups are allowed, and the eleventh is an error that names its term", async () => {
    assert.deepEqual(await ask(chain(10)), { result: "pass", detail: "+include of a.example", lookups: 10 });
    const { result, detail } = await ask(chain(11));
    assert.equal(result, "permerror");
    assert.match(detail, /include:n11\.example is lookup number 11, and 10 are allowed/);
  });

  test("a record that includes itself ends", async () => {
    assert.equal((await ask({ "a.example": record("v=spf1 include:a.example -all") })).result, "permerror");
  });

  test("an IPv6 address is looked for among AAAA records and ip6 terms", async () => {
    const names = { "a.example": { txt: ["v=spf1 a ip6:2001:db8::/32 -all"], aaaa: ["2001:db9::1"] } };
    assert.equal((await ask(names, "2001:db9::1")).result, "pass");
    assert.equal((await ask(names, "2001:db8::7")).result, "pass");
    assert.equal((await ask(names, "2001:dba::7")).result, "fail");
  });
});
