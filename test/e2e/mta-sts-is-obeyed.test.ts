/** What a domain's MTA-STS policy does to its mail, with real handshakes. A process of its own: trust is set before the first one. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setDefaultCACertificates } from "node:tls";

import { pino } from "pino";

import type { StsPolicy } from "#shared/domain/mta-sts.ts";
import type { Zone } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";

import type { Job } from "../../sender/delivery/job.ts";
import { egressKeyOf, openSession } from "../../sender/delivery/open-session.ts";
import { address, anna, message, queueRow } from "../support/builders.ts";
import { fakeDns } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { startRelay } from "../support/relay.ts";
import { answering, scriptedPeer, TEST_CERT } from "../support/scripted-peer.ts";

setDefaultCACertificates([TEST_CERT]);

const usual = parseConfig({}, { source: null, baseDir: "/" }).zones.values().next().value as Zone;

/** Its certificate is for `mx.one.example`. */
const tlsHost = answering({ EHLO: (_, nth) => (nth === 0 ? "250-peer\r\n250 STARTTLS" : "250 peer") });

function policy(mode: StsPolicy["mode"], ...mx: string[]): StsPolicy {
  return { mode, mx, maxAgeSeconds: 86_400 };
}

interface Here {
  readonly port: number;
  readonly sts: StsPolicy | null;
  /** Name and IP address, in the order to try. */
  readonly hosts: readonly (readonly [string, string])[];
  readonly zone?: Partial<Zone>;
}

function jobFor({ port, sts, hosts, zone = {} }: Here): Job {
  const mail = message();
  const row = queueRow(mail, 1);
  return {
    zone: { ...usual, port, ...zone },
    message: mail,
    leases: [{ row, token: 1, worker: anna, until: mail.acceptedAt }],
    site: "mx.one.example",
    hosts: hosts.map(([name, ip], i) => ({ name, addresses: [ip], preference: i })),
    relay: null,
    http: null,
    way: null,
    skipSrs: false,
    sts,
    egressKey: "",
  };
}

/** The host of the session and its TLS; or the outcome. */
async function open(here: Here, log = pino({ level: "silent" })): Promise<string> {
  const deps = {
    connectOptions: { log },
    isForbidden: () => false,
    placeOf: () => null,
    onEgressUnusable: () => undefined,
    hooks: null,
  };
  const opened = await openSession(jobFor(here), deps, new Set(), new AbortController().signal);
  if (opened.ok) {
    opened.session.quit();
    const { secured, route } = opened.session;
    return `${route.mx} ${secured === null ? "in clear" : secured.verified ? "verified" : "unverified"}`;
  }
  const { outcome } = opened;
  return outcome?.kind === "deferred"
    ? `${outcome.kind} ${outcome.cause}: ${outcome.detail}`
    : String(outcome?.kind);
}

describe("a policy that is enforced", { timeout: 20_000 }, () => {
  const sts = policy("enforce", "mx.one.example", "*.two.example");

  test("passes over a host without TLS, and the mail goes to the next that has it", async () => {
    await using peer = await scriptedPeer(tlsHost);
    await using plain = await startFakeMx({ host: "127.0.0.2", port: peer.port });
    const hosts = [["plain.two.example", "127.0.0.2"] as const, ["mx.one.example", "127.0.0.1"] as const];
    assert.equal(await open({ port: peer.port, sts, hosts }), "mx.one.example verified");
    assert.deepEqual(plain.said, []);
  });

  test("keeps mail from a host that it does not name, whatever its certificate", async () => {
    await using peer = await scriptedPeer(tlsHost);
    const hosts = [["localhost", "127.0.0.1"] as const];
    assert.match(
      await open({ port: peer.port, sts, hosts }),
      /^deferred tls: .*names none of its mail hosts/,
    );
    assert.equal(peer.talks.length, 0, "it is not even connected to");
  });

  test("keeps mail from a host whose certificate has another name", async () => {
    await using peer = await scriptedPeer(tlsHost);
    const hosts = [["mx.two.example", "127.0.0.1"] as const];
    assert.match(
      await open({ port: peer.port, sts, hosts }),
      /^deferred tls: .*ERR_TLS_CERT_ALTNAME_INVALID/,
    );
    await peer.talks[0]?.end();
    assert.equal(peer.talks.length, 1, "it is not tried again in clear");
    assert.ok(!peer.lines.some((line) => line.startsWith("MAIL")));
  });

  for (const [what, reply] of [
    ["offers no STARTTLS", { EHLO: "250 peer" }],
    ["refuses STARTTLS", { EHLO: "250-peer\r\n250 STARTTLS", STARTTLS: "454 4.7.0 not now" }],
  ] as const) {
    test(`keeps mail from a host that ${what}`, async () => {
      await using peer = await scriptedPeer(answering(reply));
      const hosts = [["mx.one.example", "127.0.0.1"] as const];
      assert.match(await open({ port: peer.port, sts, hosts }), /^deferred tls: /);
    });
  }

  test("wants TLS 1.2 at least", async () => {
    await using peer = await scriptedPeer(async (talk) => {
      talk.say("220 hi");
      await talk.line();
      talk.say("250-peer\r\n250 STARTTLS");
      await talk.line();
      talk.say("220 go on");
      await talk.startTls({ maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT:@SECLEVEL=0" });
      await talk.end();
    });
    const hosts = [["mx.one.example", "127.0.0.1"] as const];
    assert.match(await open({ port: peer.port, sts, hosts }), /^deferred tls: .*handshake failed/);
  });

  test("is stronger than ignoreTLS of a zone", async () => {
    await using peer = await scriptedPeer(tlsHost);
    const hosts = [["mx.one.example", "127.0.0.1"] as const];
    const zone = { ignoreTls: true };
    assert.equal(await open({ port: peer.port, sts, hosts, zone }), "mx.one.example verified");
    assert.equal(await open({ port: peer.port, sts: null, hosts, zone }), "mx.one.example in clear");
  });

  test("keeps its mail from connections that were opened without it, or for another", () => {
    const hosts = [["mx.one.example", "127.0.0.1"] as const];
    const keyOf = (of: StsPolicy | null): string =>
      egressKeyOf(jobFor({ port: 25, sts: of, hosts }), () => false);
    const keys = [null, sts, policy("enforce", "mx.one.example")].map(keyOf);
    assert.equal(new Set(keys).size, 3);
    assert.equal(keyOf(policy("testing", "mx.one.example")), keys[0]);
  });
});

describe("a policy in testing", { timeout: 20_000 }, () => {
  const hosts = [["mx.one.example", "127.0.0.1"] as const];

  test("lets mail go in clear, and the log tells what would have failed", async () => {
    await using plain = await startFakeMx();
    const lines: string[] = [];
    const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
    for (const sts of [policy("testing", "mx.one.example"), policy("testing", "other.example"), null]) {
      assert.equal(await open({ port: plain.port, sts, hosts }, log), "mx.one.example in clear");
    }
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { detail: string }).detail),
      ["no TLS", "the policy does not name this host"],
    );
  });

  test("says nothing when all is well", async () => {
    await using peer = await scriptedPeer(tlsHost);
    const lines: string[] = [];
    const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
    assert.equal(
      await open({ port: peer.port, sts: policy("testing", "mx.one.example"), hosts }, log),
      "mx.one.example verified",
    );
    assert.deepEqual(lines, []);
  });
});

describe("mail of a whole relay", { timeout: 30_000 }, () => {
  const envelope = (to: readonly string[]) => ({
    from: "me@sender.example",
    to,
    subject: "hello",
    text: "hello",
  });
  const send = async (url: string, to: readonly string[]): Promise<string> => {
    const response = await fetch(`${url}/send`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(envelope(to)),
    });
    return ((await response.json()) as { id: string }).id;
  };

  test("for two domains at one host goes to the one without a policy, and waits for the other", async () => {
    await using mx = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns({
        "one.example": { mx: [[10, "mx.one.example"]] },
        "two.example": { mx: [[10, "mx.one.example"]] },
        "mx.one.example": { a: ["127.0.0.1"] },
      }),
      stsOf: async (domain) => (domain === "two.example" ? policy("enforce", "mx.one.example") : null),
      config: { zones: { default: { port: mx.port } } },
    });
    const to = ["anna@one.example", "ben@two.example", "carl@one.example"];
    const id = (await send(relay.httpUrl, to)) as Parameters<typeof relay.message>[0];
    await mx.waitFor(1);
    const deadline = Date.now() + 10_000;
    for (;;) {
      const { rows } = await relay.message(id);
      const states = rows.map(
        ({ state, lastAttempt }) => `${state} ${lastAttempt?.cause} ${lastAttempt?.status}`,
      );
      if (states[1]?.startsWith("deferred") === true && states[2]?.startsWith("delivered") === true) {
        assert.deepEqual(states, ["delivered null 2.0.0", "deferred tls 4.7.5", "delivered null 2.0.0"]);
        break;
      }
      assert.ok(Date.now() < deadline, JSON.stringify(states));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(!mx.said.some((line) => line.includes("ben@two.example")));
  });

  test("by a relay of the zone asks for no policy", async () => {
    await using smarthost = await startFakeMx();
    await using relay = await startRelay({
      dns: fakeDns({}),
      stsOf: () => Promise.reject(new Error("it is not to be asked")),
      config: { zones: { default: { host: "127.0.0.1", port: smarthost.port } } },
    });
    await send(relay.httpUrl, [address("anna@two.example")]);
    const [mail] = await smarthost.waitFor(1);
    assert.deepEqual(mail?.recipients, ["anna@two.example"]);
  });
});
