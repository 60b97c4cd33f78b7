import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { ipFamily, parseIp } from "#shared/domain/ip.ts";

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
