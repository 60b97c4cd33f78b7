import assert from "node:assert/strict";
import { test } from "node:test";

import { parseDomain } from "#shared/domain/address.ts";
import { isReservedName } from "#shared/domain/reserved-names.ts";

test("reserved names and all below them are reserved, and nothing that only looks like them", () => {
  const reserved = ["test", "a.test", "b.a.Test", "x.example", "x.invalid", "localhost", "x.localhost"];
  reserved.push("example.com", "EXAMPLE.net", "mail.example.org", "a.b.example.com");
  const others = ["contest", "my-example.com", "example.de", "test.com", "example.com.net", "[192.0.2.1]"];
  for (const name of reserved) assert.equal(check(name), true, name);
  for (const name of others) assert.equal(check(name), false, name);
});

function check(name: string): boolean {
  const domain = parseDomain(name);
  assert.ok(domain, name);
  return isReservedName(domain);
}
