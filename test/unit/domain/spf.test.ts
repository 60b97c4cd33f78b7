import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { expandMacros, isInNetwork, isSpf, parseSpf } from "#shared/domain/spf.ts";

describe("an SPF record", () => {
  test("is read whole, with defaults where it says nothing", () => {
    const text =
      "v=spf1 +mx a:b.example/24//64 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?exists:%{i}.c.example x=y -all";
    assert.deepEqual(parseSpf(text), {
      directives: [
        { qualifier: "+", mechanism: { kind: "mx", domain: null, prefix4: 32, prefix6: 128 } },
        { qualifier: "+", mechanism: { kind: "a", domain: "b.example", prefix4: 24, prefix6: 64 } },
        { qualifier: "+", mechanism: { kind: "ip", address: "192.0.2.0", prefix: 24 } },
        { qualifier: "+", mechanism: { kind: "ip", address: "2001:db8::", prefix: 32 } },
        { qualifier: "?", mechanism: { kind: "exists", domain: "%{i}.c.example" } },
        { qualifier: "-", mechanism: { kind: "all" } },
      ],
      redirect: null,
    });
    assert.deepEqual(parseSpf("v=spf1 redirect=_spf.b.example"), {
      directives: [],
      redirect: "_spf.b.example",
    });
  });

  for (const wrong of [
    "ip4:192.0.2.300",
    "ip4:192.0.2.1/33",
    "ip4:2001:db8::1",
    "ip6:192.0.2.1",
    "ip4",
    "ip:192.0.2.1",
    "include",
    "include:",
    "a:/24",
    "a/33",
    "all:example.com",
    "~~all",
    "redirect=",
  ])
    test(`with ${wrong} is refused`, () => {
      const parsed = parseSpf(`v=spf1 ${wrong} -all`);
      assert.ok("error" in parsed, JSON.stringify(parsed));
    });

  test("is told from other text records", () => {
    assert.deepEqual(["v=spf1", "V=SPF1 -all", "v=spf10", "v=spf2.0/pra", "spf1"].map(isSpf), [
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

describe("a network", () => {
  test("holds addresses of its family with its leading bits", () => {
    assert.equal(isInNetwork("192.0.2.200", "192.0.2.128", 25), true);
    assert.equal(isInNetwork("192.0.2.127", "192.0.2.128", 25), false);
    assert.equal(isInNetwork("203.0.113.1", "192.0.2.1", 0), true);
    assert.equal(isInNetwork("2001:db8::1", "192.0.2.1", 0), false);
    assert.equal(isInNetwork("2001:db8:1::1", "2001:db8::", 32), true);
  });
});

/** RFC 7208 §7.4. */
describe("macros", () => {
  const values = { ip: "192.0.2.3", domain: "email.example.com", sender: "strong-bad@email.example.com" };
  const cases: [string, string][] = [
    ["%{s}", "strong-bad@email.example.com"],
    ["%{o}", "email.example.com"],
    ["%{d4}", "email.example.com"],
    ["%{d2}", "example.com"],
    ["%{d1}", "com"],
    ["%{dr}", "com.example.email"],
    ["%{d2r}", "example.email"],
    ["%{l-}", "strong.bad"],
    ["%{lr-}", "bad.strong"],
    ["%{l1r-}", "strong"],
    ["%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"],
    ["%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"],
    ["%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"],
    ["a%%b%_c%-d", "a%b c%20d"],
  ];
  for (const [spec, text] of cases)
    test(`${spec} is ${text}`, () => assert.equal(expandMacros(spec, values), text));

  test("of an IPv6 address are its nibbles", () => {
    const expanded = expandMacros("%{ir}.%{v}._spf.%{d2}", { ...values, ip: "2001:db8::cb01" });
    assert.equal(
      expanded,
      "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com",
    );
  });

  test("that are not written right are none", () => {
    for (const spec of ["%", "a%b", "%{", "%{d", "%{dx}"])
      assert.equal(expandMacros(spec, values), null, spec);
  });
});
