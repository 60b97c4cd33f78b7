import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { forbiddenRange } from "../../../sender/delivery/forbidden-address.ts";

/** Both ends of each range, and the neighbours that are outside. */
const LOCAL = `
  10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255
  127.0.0.1 127.255.255.255 169.254.169.254 100.64.0.0 100.127.255.255
  192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 198.19.255.255 240.0.0.1 192.0.0.1
  ::1 fe80::1 febf::1 fec0::1 fc00::1 fdff::1 fd00:ec2::254 2001:db8::1
  2002:7f00:1:: 2002:808:808:: 2001:0:808:808::1 64:ff9b:1::1 100::1
  ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:7f00:1 ::7f00:1 ::808:808 64:ff9b::10.0.0.1`;
const NEVER = `
  0.0.0.0 0.1.2.3 255.255.255.255 224.0.0.1 239.255.255.255
  :: ff02::1 ::ffff:0.0.0.0 64:ff9b::224.0.0.1`;
const PUBLIC = `
  8.8.8.8 9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0
  126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 100.63.255.255 100.128.0.0
  223.255.255.255 1.0.0.1 2620:fe::fe 2a00:1450:4001::1b 2001:4860:4860::8888 64:ff9b::8.8.8.8`;

describe("forbiddenRange", () => {
  test("tells what is local, what is never a target and what is public", () => {
    for (const ip of words(LOCAL)) assert.equal(forbiddenRange(ip)?.rule, "local", ip);
    for (const ip of words(NEVER)) assert.equal(forbiddenRange(ip)?.rule, "never", ip);
    for (const ip of words(PUBLIC)) assert.equal(forbiddenRange(ip), null, ip);
  });

  test("never takes what another program would read as an address for a public one", () => {
    for (const text of [
      "0127.0.0.1",
      "127.1",
      "1",
      "0x7f.1",
      "::1%lo",
      "fe80::1%eth0",
      "",
      "example.org",
      "8.8.8.8 ",
    ]) {
      assert.equal(forbiddenRange(text)?.rule, "never", text);
    }
  });

  test("an IPv4 address is as forbidden inside IPv6 as it is bare", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.constantFrom("::ffff:", "::ffff:0:", "::", "64:ff9b::"), (ip, prefix) => {
        const bare = forbiddenRange(ip);
        const inside = forbiddenRange(prefix + ip);
        if (bare !== null) assert.ok(inside !== null && (bare.rule === "local" || inside.rule === "never"));
      }),
    );
  });
});

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
