import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import type { UnitOptions } from "../../../cli/systemd.ts";
import { systemdUnit } from "../../../cli/systemd.ts";

const options: UnitOptions = {
  folder: "/opt/zonefleet",
  node: process.execPath,
  main: "/opt/zonefleet/sender/main.ts",
  dataDir: "/var/lib/zonefleet",
  user: "zonefleet",
  environment: { LOG_LEVEL: "info" },
};

function settingsOf(unit: string): string[] {
  return unit.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

const noSystemd = spawnSync("systemd-analyze", ["--version"]).status !== 0;

describe("zonefleet systemd", () => {
  test("gives the service a user of its own, one writable folder and a stop that outlasts a drain", () => {
    const settings = settingsOf(systemdUnit(options));
    for (const line of [
      "User=zonefleet",
      "WorkingDirectory=/opt/zonefleet",
      'Environment="ZONEFLEET_DATA=/var/lib/zonefleet"',
      'Environment="LOG_LEVEL=info"',
      `ExecStart="${process.execPath}" "/opt/zonefleet/sender/main.ts"`,
      "ExecReload=/bin/kill -HUP $MAINPID",
      "KillMode=mixed",
      "KillSignal=SIGTERM",
      "TimeoutStopSec=40",
      "Restart=always",
      "NoNewPrivileges=yes",
      "ProtectSystem=strict",
      'ReadWritePaths="/var/lib/zonefleet"',
      "ProtectHome=yes",
    ])
      assert.ok(settings.includes(line), line);
  });

  test("lets the service read home folders when it lives in one, and never write there", () => {
    const settings = settingsOf(systemdUnit({ ...options, folder: "/home/anna/zonefleet" }));
    assert.ok(settings.includes("ProtectHome=read-only"));
  });

  test("writes paths with spaces, quotes, percent and dollar signs so that systemd reads the same", () => {
    const main = String.raw`/opt/a "b" \c $HOME 5%/main.ts`;
    const unit = systemdUnit({ ...options, folder: "/opt/a b 5%", main });
    assert.match(unit, /^WorkingDirectory=\/opt\/a b 5%%$/m);
    assert.ok(unit.includes(String.raw`"/opt/a \"b\" \\c $$HOME 5%%/main.ts"`));
  });

  test("refuses a path that would begin a setting of its own", () => {
    assert.throws(() => systemdUnit({ ...options, folder: "/opt/a\nUser=root" }), {
      name: "DomainError",
    });
  });

  test("is a unit in which systemd finds no fault", { skip: noSystemd && "no systemd here" }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "unit-"));
    try {
      const file = join(folder, "zonefleet.service");
      await writeFile(file, systemdUnit(options));
      const { status, stderr } = spawnSync("systemd-analyze", ["verify", file], {
        encoding: "utf8",
        timeout: 20_000,
      });
      const ours = stderr.split("\n").filter((line) => line.includes("zonefleet.service"));
      assert.deepEqual({ status, ours }, { status: 0, ours: [] });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
