import assert from "node:assert/strict";
import { test } from "node:test";

import { parseConfig } from "#shared/runtime/config.ts";
import { missingAddresses } from "../../../sender/missing-addresses.ts";

test("addresses of pools that this machine has not got are found, each once, and none else", async () => {
  const pools = {
    default: ["127.0.0.1", "198.51.100.77"],
    other: ["198.51.100.77", { address: "198.51.100.78", ratio: 0 }, "2001:db8::77"],
    empty: [],
  };
  const zones = { other: { pool: "other" }, empty: { pool: "empty" } };
  const config = parseConfig({ pools, zones }, { source: null, baseDir: "/" });
  assert.deepEqual(await missingAddresses(config), ["198.51.100.77", "2001:db8::77"]);
});
