import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { lookUpHostsFile, loopbackOf } from "#shared/runtime/dns/hosts-file.ts";

describe("the hosts file", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "zonefleet-hosts-"));
    await writeFile(
      join(folder, "hosts"),
      "# comment\n10.0.0.5\tRelay.internal relay # its address\r\n2001:db8::5 relay\n\nnot-an-ip broken\n127.0.1.1 localhost\n",
    );
  });
  after(() => rm(folder, { recursive: true }));

  test("gives all addresses of a name, whatever its case", async () => {
    const path = join(folder, "hosts");
    assert.deepEqual(await lookUpHostsFile("RELAY", path), ["10.0.0.5", "2001:db8::5"]);
    assert.deepEqual(await lookUpHostsFile("relay.internal", path), ["10.0.0.5"]);
    assert.deepEqual(await lookUpHostsFile("localhost", path), ["127.0.1.1"], "the file has the first word");
  });

  test("knows neither broken lines nor other names", async () => {
    const path = join(folder, "hosts");
    for (const name of ["broken", "comment", "its", "elsewhere", "10.0.0.5"]) {
      assert.deepEqual(await lookUpHostsFile(name, path), [], name);
    }
  });

  test("may be missing: localhost is known all the same", async () => {
    const path = join(folder, "missing");
    assert.deepEqual(await lookUpHostsFile("localhost", path), ["127.0.0.1", "::1"]);
    assert.deepEqual(await lookUpHostsFile("relay", path), []);
  });
});

test("localhost and what is below it are loopback, nothing else is", () => {
  assert.deepEqual(loopbackOf("localhost", 4), ["127.0.0.1"]);
  assert.deepEqual(loopbackOf("a.localhost", 6), ["::1"]);
  assert.equal(loopbackOf("mylocalhost", 4), null);
  assert.equal(loopbackOf("localhost.net", 4), null);
});
