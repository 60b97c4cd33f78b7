import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { EgressName } from "#shared/domain/egress-names.ts";
import { elasticChecks, reachChecks } from "../../../../cli/doctor/deployment.ts";
import { runChecks } from "../../../../cli/doctor/check.ts";

const elastic = (name: string): EgressName => ({ name, publicIps: [], bound: [], isElastic: true });
const bound: EgressName = {
  name: "m9.example",
  publicIps: ["192.0.2.9"],
  bound: ["192.0.2.9"],
  isElastic: false,
};

async function quota(names: readonly string[], there: readonly string[], total: number) {
  const ours = there.map((name) => ({ name, publicIp: "192.0.2.1", privateAddress: null }));
  const checks = elasticChecks([bound, ...names.map(elastic)], () => Promise.resolve({ ours, total }));
  const [finding] = await runChecks(checks);
  return finding;
}

describe("Elastic IPs", () => {
  test("are well when each name of a pool has one", async () => {
    assert.equal((await quota(["m1.example"], ["M1.example"], 1))?.status, "ok");
    assert.equal((await quota([], [], 0))?.status, "ok");
  });

  test("that are missing are named, and a deployment makes them", async () => {
    const finding = await quota(["m1.example", "m2.example"], ["m1.example"], 1);
    assert.equal(finding?.status, "failure");
    assert.match(finding.says, /there is none for m2\.example/);
    assert.match(finding.todo ?? "", /^npx cdk deploy/);
  });

  test("that AWS would refuse want a higher quota first, unless it was raised already", async () => {
    const full = await quota(["m1.example"], [], 5);
    assert.match(full?.todo ?? "", /^Ask for a higher quota/);
    assert.match((await quota(["m1.example"], [], 6))?.todo ?? "", /^npx cdk deploy/);
  });

  test("that cannot be asked for are warned of", async () => {
    const denied = () => Promise.reject(new Error("not authorized"));
    const [finding] = await runChecks(elasticChecks([], denied));
    assert.deepEqual([finding?.status, finding?.says.includes("not authorized")], ["warning", true]);
  });
});

describe("parts of a deployment", () => {
  const failing = (name: string) => ({
    what: "table t",
    ask: () => Promise.reject(Object.assign(new Error("said AWS"), { name })),
  });

  test("that answer are well, and those that do not are failures with the advice that fits", async () => {
    const parts = [
      { what: "bucket b", ask: () => Promise.resolve() },
      failing("AccessDeniedException"),
      failing("ResourceNotFoundException"),
      failing("TimeoutError"),
    ];
    const findings = await runChecks(reachChecks(parts));
    assert.deepEqual(
      findings.map(({ status }) => status),
      ["ok", "failure", "failure", "failure"],
    );
    const todos = findings.map(({ todo }) => todo ?? "");
    assert.match(todos[1] ?? "", /credentials/);
    assert.match(todos[2] ?? "", /ZONEFLEET_TABLE/);
    assert.match(todos[3] ?? "", /AWS_REGION/);
    assert.match(findings[1]?.says ?? "", /AccessDeniedException said AWS/);
  });
});
