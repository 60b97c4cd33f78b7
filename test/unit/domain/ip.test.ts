import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ipFamily, isSeenByOthers, parseIp, reverseName, reversedLabels } from "#shared/domain/ip.ts";

describe("an IP address", () => {
  test("has one spelling", () => {
    assert.equal(parseIp("192.0.2.1"), "192.0.2.1");
    assert.equal(parseIp("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
    assert.equal(parseIp("::FFFF:192.0.2.1"), "192.0.2.1");
    assert.equal(parseIp("0:0:0:0:0:ffff:c000:0201"), "192.0.2.1");
    assert.equal(parseIp("::"), "::");
  });

  test("is refused in forms that programs read differently", () => {
    for (const text of [
      "",
      "0127.0.0.1",
      "127.1",
      "2130706433",
      "0x7f.0.0.1",
      "192.0.2.1 ",
      "fe80::1%eth0",
      "[::1]",
      "192.0.2.256",
      "1::2::3",
    ]) {
      assert.equal(parseIp(text), null, text);
    }
  });

  test("is of a family", () => {
    assert.equal(ipFamily("192.0.2.1"), 4);
    assert.equal(ipFamily("2001:db8::1"), 6);
  });
});

describe("the name of an address in the DNS", () => {
  test("is its bytes backwards, and its nibbles for IPv6", () => {
    assert.equal(reverseName("192.0.2.1"), "1.2.0.192.in-addr.arpa");
    assert.equal(reverseName("::ffff:192.0.2.1"), "1.2.0.192.in-addr.arpa");
    // RFC 3596 section 2.5
    const rfc = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
    assert.equal(reverseName("4321:0:1:2:3:4:567:89ab"), rfc);
    assert.equal(reversedLabels("192.0.2.1"), "1.2.0.192");
  });
});

describe("an address that others see", () => {
  test("is none of this machine, of a private network, or one that stands for any", () => {
    for (const ip of ["192.0.2.1", "8.8.8.8", "2001:db8::1", "2a00::1"])
      assert.equal(isSeenByOthers(ip), true, ip);
    const hidden = [
      "0.0.0.0",
      "127.0.0.1",
      "10.1.2.3",
      "172.16.0.1",
      "192.168.1.1",
      "100.64.0.1",
      "169.254.1.1",
    ];
    for (const ip of [...hidden, "::", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "m1.example"])
      assert.equal(isSeenByOthers(ip), false, ip);
  });
});
