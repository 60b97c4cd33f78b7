import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Tree } from "../../../../cli/zonemta/tree.ts";
import { treeAt } from "../../../../cli/zonemta/tree.ts";
import { carried } from "../../../support/carried-over.ts";

const HERE = { enabled: true, host: "127.0.0.1", port: 2525 };

function carriedInterface(written: Tree, name = "submission") {
  const { config, changed, leftOut } = carried({ smtpInterfaces: { [name]: written } });
  return {
    one: treeAt(treeAt(config, "smtpInterfaces"), name),
    changed: changed.join("\n"),
    leftOut: leftOut.join("\n"),
  };
}

describe("an SMTP interface of ZoneMTA", () => {
  test("is reached from everywhere where no host is written, and the feeder from this machine", () => {
    const { one, changed } = carriedInterface({ enabled: true, port: 587, authentication: true });
    assert.equal(one["host"], "0.0.0.0");
    assert.match(changed, /submission\.host: is 0\.0\.0\.0 now/);
    assert.deepEqual(carriedInterface({ port: 2525 }, "feeder"), {
      one: { port: 2525 },
      changed: "",
      leftOut: "",
    });
  });

  test("is open without enabled, which is told, since ZoneMTA does not open it", () => {
    const { one, changed } = carriedInterface({ host: "127.0.0.1", port: 2588 });
    assert.deepEqual(one, { host: "127.0.0.1", port: 2588 });
    assert.match(changed, /submission\.enabled: is not written, so ZoneMTA does not open it/);
  });

  test("greets with its name as ZoneMTA does, unless it has a banner", () => {
    const { one, changed } = carriedInterface({ ...HERE, name: "Example" });
    assert.deepEqual(one, { ...HERE, banner: "Welcome to Example!" });
    assert.match(changed, /submission\.name: is banner now/);
    assert.deepEqual(carriedInterface({ ...HERE, name: "Example", banner: "Hi" }).one, {
      ...HERE,
      banner: "Hi",
    });
  });

  test("is without what ZoneMTA passes over", () => {
    const both = carriedInterface({ ...HERE, secure: true, starttls: true });
    assert.deepEqual(both.one, { ...HERE, secure: true });
    assert.match(both.leftOut, /submission\.starttls: with secure/);
    const optional = carriedInterface({ ...HERE, authentication: false, authOptional: true });
    assert.deepEqual(optional.one, { ...HERE, authentication: false });
    assert.match(optional.leftOut, /authOptional: without authentication/);
  });

  test("has numbers and yes or no of what JavaScript takes for them", () => {
    const { one, leftOut } = carriedInterface({
      ...HERE,
      port: "2588",
      maxSize: "1000",
      authentication: 0,
      lmtp: "true",
    });
    assert.deepEqual(one, { ...HERE, port: 2588, maxSize: 1000, authentication: false, lmtp: true });
    assert.equal(leftOut, "");
  });

  test("says whose logins it takes, unless a server is asked for them", () => {
    const submission = { ...HERE, authentication: true };
    assert.match(
      carriedInterface(submission).changed,
      /submission\.authentication: takes the accounts .*account add/,
    );
    const asked = carried({
      smtpInterfaces: { submission },
      plugins: { "core/http-auth": { enabled: "receiver", url: "http://127.0.0.1:8080/" } },
    });
    assert.deepEqual(asked.changed, []);
    assert.equal(carriedInterface({ ...submission, enabled: false }).changed, "");
  });

  test("is kept for the operator where it believes every peer", () => {
    for (const key of ["useProxy", "useXClient", "useXForward"]) {
      const { one, leftOut } = carriedInterface({ ...HERE, [key]: ["192.0.2.1", "*"] });
      assert.deepEqual([one[key], leftOut], [true, ""]); // which the start refuses with what to write
    }
  });

  test("is told of when it is one of ZoneMTA's defaults, which the files are over", () => {
    const theirs = { smtpInterfaces: { submission: { ...HERE, port: 2588 } } };
    assert.match(
      carried(theirs, { hasDefaults: false }).changed.join("\n"),
      /smtpInterfaces\.feeder: is not there/,
    );
    assert.deepEqual(carried(theirs).changed, []);
    assert.deepEqual(carried({ name: "x" }, { hasDefaults: false }).changed, []);
  });
});
