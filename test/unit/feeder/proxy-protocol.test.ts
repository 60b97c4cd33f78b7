import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { readProxyHeader } from "../../../sender/feeder/proxy-protocol.ts";
import type { ProxyHeader } from "../../../sender/feeder/proxy-protocol.ts";
import { proxyPeers } from "#shared/runtime/proxy-peers.ts";
import { proxyV2 } from "../../support/proxy-header.ts";

function readText(text: string): ProxyHeader {
  return readProxyHeader(Buffer.from(text, "latin1"));
}

describe("a PROXY header of version 1", () => {
  test("tells the client's address and port", () => {
    const header = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n";
    assert.deepEqual(readText(`${header}EHLO x\r\n`), {
      kind: "header",
      length: header.length,
      client: { ip: "192.0.2.7", port: 56_324 },
    });
  });

  test("may be of IPv6, in any spelling", () => {
    const header = readText("PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 1 65535\r\n");
    assert.deepEqual(header.kind === "header" && header.client, { ip: "2001:db8::1", port: 1 });
  });

  test("of UNKNOWN leaves the address as it is", () => {
    const header = readText("PROXY UNKNOWN ffff:f::1 ffff:f::2 1 2\r\n");
    assert.equal(header.kind === "header" && header.client, null);
  });

  const bad = [
    "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 56324 25 9\r\n",
    "PROXY TCP4  192.0.2.7 198.51.100.1 56324 25\r\n",
    "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
    "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
    "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
    "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "PROXY \r\n",
    "PROXY\r\n",
    "proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "EHLO client.example\r\n",
    `PROXY TCP4 ${"1".repeat(100)}`,
    `PROXY UNKNOWN ${" ".repeat(100)}\r\n`,
  ];
  for (const text of bad) {
    test(`cannot be ${JSON.stringify(text.slice(0, 60))}`, () => {
      assert.equal(readText(text).kind, "malformed");
    });
  }
});

describe("a PROXY header of version 2", () => {
  test("tells the client's address and port, over what else is in it", () => {
    const header = proxyV2({ ip: "192.0.2.7", port: 56_324, extra: Buffer.from([0x04, 0, 1, 0]) });
    assert.deepEqual(readProxyHeader(Buffer.concat([header, Buffer.from("EHLO")])), {
      kind: "header",
      length: header.length,
      client: { ip: "192.0.2.7", port: 56_324 },
    });
  });

  test("may be of IPv6", () => {
    const header = readProxyHeader(proxyV2({ ip: "2001:db8::7", port: 1 }));
    assert.deepEqual(header.kind === "header" && header.client, { ip: "2001:db8::7", port: 1 });
  });

  test("of an IPv4 address inside IPv6 gives the IPv4 address", () => {
    const header = readProxyHeader(proxyV2({ ip: "::ffff:192.0.2.7", port: 1 }));
    assert.deepEqual(header.kind === "header" && header.client, { ip: "192.0.2.7", port: 1 });
  });

  test("with the command LOCAL leaves the address as it is, though it has one", () => {
    const header = readProxyHeader(proxyV2({ ip: "192.0.2.7", port: 1, command: 0 }));
    assert.equal(header.kind === "header" && header.client, null);
  });

  test("is refused when its version, command, family or length is odd", () => {
    const good = proxyV2({ ip: "192.0.2.7", port: 1 });
    const changes: [index: number, value: number][] = [
      [12, 0x11],
      [12, 0x22],
      [13, 0x12],
      [13, 0x41],
      [14, 0x7f],
      [15, 11],
    ];
    for (const [index, value] of changes) {
      const header = Buffer.from(good);
      header[index] = value;
      assert.equal(readProxyHeader(header).kind, "malformed", `byte ${index} = ${value}`);
    }
  });
});

describe("any PROXY header", () => {
  const headers = [
    Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"),
    Buffer.from("PROXY UNKNOWN\r\n"),
    proxyV2({ ip: "2001:db8::7", port: 1 }),
    proxyV2({ ip: "192.0.2.7", port: 1, command: 0 }),
  ];

  test("is partial until its last byte has come", () => {
    for (const header of headers) {
      for (let length = 0; length < header.length; length++) {
        assert.equal(readProxyHeader(header.subarray(0, length)).kind, "partial");
      }
      assert.equal(readProxyHeader(header).kind, "header");
    }
  });

  test("is read without a fault whatever its bytes", () => {
    const start = fc.constantFrom(...headers.map((header) => header.subarray(0, 13)), Buffer.alloc(0));
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 200 }), (start, bytes) => {
        const header = readProxyHeader(Buffer.concat([start, bytes]));
        if (header.kind === "header") assert.ok(header.length <= start.length + bytes.length);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("who may send a PROXY header", () => {
  const isProxy = proxyPeers(["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]);

  test("are the listed addresses and blocks, in either family's spelling", () => {
    for (const ip of ["192.0.2.1", "::ffff:192.0.2.1", "198.51.100.7", "2001:db8::1", "2001:DB8:ffff::1"]) {
      assert.equal(isProxy(ip), true, ip);
    }
    for (const ip of ["192.0.3.1", "198.51.100.8", "2001:db9::1", "::1", undefined, "x"]) {
      assert.equal(isProxy(ip), false, ip);
    }
  });

  test("is nobody when none is listed", () => {
    assert.equal(proxyPeers([])("127.0.0.1"), false);
  });

  test("is refused when it is no address", () => {
    for (const entry of [
      "localhost",
      "192.0.2.0/33",
      "2001:db8::/129",
      "192.0.2.0/",
      "192.0.2.0/8/8",
      "192.0.2",
      "",
    ]) {
      assert.throws(() => proxyPeers([entry]), /neither an IP address nor a CIDR block/, entry);
    }
  });
});
