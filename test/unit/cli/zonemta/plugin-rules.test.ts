import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Tree } from "../../../../cli/zonemta/tree.ts";
import { treeAt } from "../../../../cli/zonemta/tree.ts";
import { carried } from "../../../support/carried-over.ts";

const emailBounce = (options: Tree, zones: Tree = {}) => {
  const { config, changed } = carried({ zones, plugins: { "core/email-bounce": options } });
  return { plugin: treeAt(treeAt(config, "plugins"), "core/email-bounce"), changed: changed.join("\n") };
};

describe("a plugin of ZoneMTA", () => {
  test("that could only fail here is left out with what does its work, and let be when it is off", () => {
    const { config, leftOut } = carried({
      plugins: {
        "modules/zonemta-delivery-counters": { enabled: "main", prefix: "zmta" },
        "modules/zonemta-wildduck": ["receiver", "sender"],
      },
    });
    assert.deepEqual(config, { plugins: {} });
    assert.match(leftOut[0] ?? "", /delivery-counters"\]: counts in Redis.*GET \/metrics/);
    assert.match(leftOut[1] ?? "", /zonemta-wildduck"\]: needs the MongoDB/);
    const off = { "modules/zonemta-delivery-counters": { enabled: false } };
    assert.deepEqual(carried({ plugins: off }), { config: { plugins: off }, changed: [], leftOut: [] });
  });

  test("of one's own lies where ZoneMTA looks for it, and a package has to be installed", () => {
    const { config, changed } = carried({
      plugins: { "my/own": "receiver", "modules/zonemta-x": { enabled: true } },
    });
    assert.equal(config["pluginsPath"], "/opt/zone-mta/plugins");
    const said = changed.join("\n");
    assert.match(said, /zonemta-x"\]: is loaded here too, .*npm install/);
    assert.match(said, /pluginsPath: is \/opt\/zone-mta\/plugins now, .*--root/);
    assert.equal(carried({ plugins: { "my/own": false } }).config["pluginsPath"], undefined);
  });

  test("does nothing of what is false in the place of a list", () => {
    const options = { allowRoutingHeaders: false, addMissing: false };
    const { config } = carried({ plugins: { "core/default-headers": { enabled: true, ...options } } });
    const nothing = { enabled: true, allowRoutingHeaders: [], addMissing: [] };
    assert.deepEqual(config["plugins"], { "core/default-headers": nothing });
  });

  test("takes one where there may be several, and headers in capitals", () => {
    const theirs = {
      "core/default-headers": { enabled: true, allowRoutingHeaders: "api", addMissing: "Message-ID" },
      "core/clamav": { enabled: "receiver", interfaces: "*", ignoreOrigins: "192.0.2.1" },
      "core/srs": { enabled: false, excludeDomains: "a.example" },
    };
    const { config, leftOut } = carried({ plugins: theirs });
    assert.deepEqual(config["plugins"], {
      "core/default-headers": { enabled: true, allowRoutingHeaders: ["api"], addMissing: ["Message-ID"] },
      "core/clamav": { enabled: "receiver", interfaces: ["*"], ignoreOrigins: ["192.0.2.1"] },
      "core/srs": { enabled: false, excludeDomains: ["a.example"] },
    });
    assert.deepEqual(leftOut, []);
  });

  test("bounces from whom the text of a From header names", () => {
    for (const [text, mailerDaemon] of [
      ["Mail System <md@[HOSTNAME]>", { name: "Mail System", address: "md@[HOSTNAME]" }],
      ['"Mail, System" <md@a.example>', { name: "Mail, System", address: "md@a.example" }],
      ["md@a.example", { address: "md@a.example" }],
    ] as const)
      assert.deepEqual(emailBounce({ mailerDaemon: text }).plugin, { mailerDaemon });
  });

  test("bounces by the zone of all mail where there is no zone of the name", () => {
    const { plugin, changed } = emailBounce(
      { sendingZone: "dsn", zoneConfig: { bulk: { sendingZone: "gone" }, default: { sendingZone: "Bulk" } } },
      { bulk: { connections: 1 } },
    );
    assert.deepEqual(plugin, {
      sendingZone: "default",
      zoneConfig: { bulk: { sendingZone: "default" }, default: { sendingZone: "Bulk" } },
    });
    assert.match(changed, /sendingZone: is "default" now: there is no zone "dsn"/);
    assert.match(changed, /zoneConfig\.bulk\.sendingZone: is "default" now: there is no zone "gone"/);
  });

  test("keeps what it says for a zone and disabled, which is passed over here as there", () => {
    const zoneConfig = { myzonename: { disabled: true, sendingZone: "myzonename" } };
    assert.deepEqual(emailBounce({ zoneConfig }), { plugin: { zoneConfig }, changed: "" });
  });
});
