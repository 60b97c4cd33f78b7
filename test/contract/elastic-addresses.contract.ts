/** What every ElasticAddresses keeps to. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { ElasticAddresses } from "#shared/ports/elastic-addresses.ts";
import type { FakeEc2, FakeHost } from "../support/fake-ec2.ts";

export interface OpenedEc2 extends AsyncDisposable {
  readonly fake: FakeEc2;
  /** EC2 as a host with these private addresses has it, and what the test can say of that host. */
  host(
    networkInterface: string,
    places: readonly string[],
  ): Promise<{ readonly elastic: ElasticAddresses; readonly host: FakeHost }>;
}

/** With Elastic IPs of these names. */
export type OpenEc2 = (names: readonly string[]) => Promise<OpenedEc2>;

const PLACES = ["10.25.0.10", "10.25.0.11"];

export function elasticAddressesContract(adapter: string, open: OpenEc2): void {
  describe(`ElasticAddresses by ${adapter}`, { timeout: 30_000 }, () => {
    async function scene(names: readonly string[] = ["m1.example", "m2.example"]) {
      const opened = await open(names);
      const one = await opened.host("eni-1", PLACES);
      const placesOf = async (): Promise<Record<string, string | null>> =>
        Object.fromEntries(
          (await one.elastic.list()).map(({ name, at }) => [
            name,
            at && `${at.networkInterface} ${at.privateAddress}`,
          ]),
        );
      const idOf = async (name: string): Promise<string> =>
        (await one.elastic.list()).find((each) => each.name === name)?.id ?? "";
      return { ...opened, opened, ...one, placesOf, idOf };
    }

    test("lists the installation's own, and where each stands", async () => {
      const { opened, elastic, placesOf, idOf } = await scene();
      await using _ = opened;
      const all = await elastic.list();
      assert.deepEqual(
        all.map(({ name, publicIp, at }) => [name, publicIp, at]),
        [
          ["m1.example", "198.51.100.1", null],
          ["m2.example", "198.51.100.2", null],
        ],
      );
      await elastic.associate(await idOf("m1.example"), "10.25.0.11");
      assert.deepEqual(await placesOf(), { "m1.example": "eni-1 10.25.0.11", "m2.example": null });
    });

    test("knows this host by its instance, and the addresses that an Elastic IP can stand before", async () => {
      const { opened, elastic } = await scene();
      await using _ = opened;
      const expected = { instance: "i-eni-1", networkInterface: "eni-1", privateAddresses: PLACES };
      assert.deepEqual(await elastic.host(), expected);
    });

    test("moves an address from another host, and from one place here to another", async () => {
      const { opened, elastic, placesOf, idOf } = await scene();
      await using _ = opened;
      const other = await opened.host("eni-2", ["10.25.0.20"]);
      const id = await idOf("m1.example");
      await elastic.associate(id, "10.25.0.10");
      await other.elastic.associate(id, "10.25.0.20");
      assert.equal((await placesOf())["m1.example"], "eni-2 10.25.0.20");
      await elastic.associate(id, "10.25.0.11");
      assert.equal((await placesOf())["m1.example"], "eni-1 10.25.0.11");
    });

    test("leaves nowhere what stood before the private address", async () => {
      const { opened, elastic, placesOf, idOf } = await scene();
      await using _ = opened;
      await elastic.associate(await idOf("m1.example"), "10.25.0.10");
      await elastic.associate(await idOf("m2.example"), "10.25.0.10");
      assert.deepEqual(await placesOf(), { "m1.example": null, "m2.example": "eni-1 10.25.0.10" });
    });

    test("rejects what EC2 does not know: an allocation, a private address", async () => {
      const { opened, elastic, placesOf, idOf } = await scene();
      await using _ = opened;
      await assert.rejects(elastic.associate("eipalloc-none", "10.25.0.10"), /InvalidAllocationID/);
      await assert.rejects(
        elastic.associate(await idOf("m1.example"), "10.25.0.99"),
        /InvalidParameterValue/,
      );
      assert.deepEqual(await placesOf(), { "m1.example": null, "m2.example": null });
    });

    test("sets reverse DNS only when forward DNS leads back", async () => {
      const { opened, fake, elastic, idOf } = await scene();
      await using _ = opened;
      const id = await idOf("m1.example");
      fake.published.delete("m1.example");
      await assert.rejects(elastic.setReverseName(id, "m1.example"), /InvalidParameterValue/);
      fake.published.add("m1.example");
      await elastic.setReverseName(id, "m1.example");
      assert.equal(fake.reverseNameOf("m1.example"), "m1.example");
    });

    test("hears that this host is to end, and says when it has nothing left to do", async () => {
      const { opened, elastic, host } = await scene();
      await using _ = opened;
      assert.deepEqual([await elastic.isEnding(), host.hasEnded], [false, false]);
      host.end();
      assert.equal(await elastic.isEnding(), true);
      await elastic.ended();
      assert.equal(host.hasEnded, true);
    });
  });
}
