import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { addressChecks } from "../../../../cli/doctor/addresses.ts";
import { runChecks } from "../../../../cli/doctor/check.ts";
import { fakeDns } from "../../../support/fake-dns.ts";
import type { FakeName } from "../../../support/fake-dns.ts";

async function found(publicIps: readonly string[], names: Record<string, FakeName>): Promise<string[]> {
  const egress = [{ name: "m1.example", publicIps, bound: [], isElastic: true }];
  const findings = await runChecks(addressChecks(egress, fakeDns(names)));
  return findings.map(({ status, topic }) => `${status} ${topic}`);
}

describe("an egress address", () => {
  test("is well when name and address lead to one another, in either family", async () => {
    const names = {
      "m1.example": { a: ["192.0.2.1"], aaaa: ["2001:db8::1"] },
      "192.0.2.1": { ptr: ["m1.example"] },
      "2001:db8::1": { ptr: ["m1.example"] },
    };
    const well = ["ok forward DNS", "ok reverse DNS"];
    assert.deepEqual(await found(["192.0.2.1", "2001:db8::1"], names), [...well, ...well]);
  });

  test("with another name that leads back is warned of, for it is confirmed all the same", async () => {
    const names = {
      "m1.example": { a: ["192.0.2.1"] },
      "192.0.2.1": { ptr: ["host.isp.example"] },
      "host.isp.example": { a: ["192.0.2.1"] },
    };
    assert.deepEqual(await found(["192.0.2.1"], names), ["ok forward DNS", "warning reverse DNS"]);
  });

  test("that is not known is a warning, unless its name leads nowhere", async () => {
    assert.deepEqual(await found([], { "m1.example": { a: ["192.0.2.1"] } }), ["warning address"]);
    assert.deepEqual(await found([], {}), ["failure address"]);
    assert.deepEqual(await found([], { "m1.example": { a: "failed", aaaa: "failed" } }), ["warning address"]);
  });
});
