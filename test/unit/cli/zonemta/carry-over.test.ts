import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { carried } from "../../../support/carried-over.ts";

describe("what is carried over from a ZoneMTA", () => {
  test("is off where false stands for all of a part that is on unless it is told", () => {
    const { config, leftOut } = carried({
      mtaSts: false,
      dkim: false,
      plugins: { "core/email-bounce": { enabled: "main", delayEmail: false } },
    });
    assert.deepEqual(config, {
      mtaSts: { enabled: false },
      dkim: { enabled: false },
      plugins: { "core/email-bounce": { enabled: "main", delayEmail: { enabled: false } } },
    });
    assert.deepEqual(leftOut, []);
  });

  test("is a number where the environment had one, also in what may be written in several ways", () => {
    const { config, leftOut } = carried({
      log: { remote: { host: "127.0.0.1", port: "31240" } },
      pools: { out: [{ address: "192.0.2.1", ratio: "0.25" }] },
    });
    assert.deepEqual(config, {
      log: { remote: { host: "127.0.0.1", port: 31_240 } },
      pools: { out: [{ address: "192.0.2.1", ratio: 0.25 }] },
    });
    assert.deepEqual(leftOut, []);
  });

  test("is left out without a word where it is not set, and with one where it is something", () => {
    const { config, leftOut } = carried({
      name: "",
      api: { port: null, maildrop: "perhaps" },
      queue: { lease: "x" },
    });
    assert.deepEqual(config, { api: {}, queue: {} });
    assert.match(leftOut.join("\n"), /^queue\.lease: expected .*\napi\.maildrop: expected true or false/);
  });
});
