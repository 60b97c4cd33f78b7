import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { Zone } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";

import { deliver } from "../../../sender/delivery/deliver.ts";
import type { DeliverDeps } from "../../../sender/delivery/deliver.ts";
import type { Job } from "../../../sender/delivery/job.ts";
import { address, anna, message, queueRow } from "../../support/builders.ts";
import { startFakeMx } from "../../support/fake-mx.ts";
import { answering, scriptedPeer } from "../../support/scripted-peer.ts";
import type { Answers, ScriptedPeer } from "../../support/scripted-peer.ts";

const zone = parseConfig({}, { source: null, baseDir: "/" }).zones.values().next().value as Zone;

const deps: DeliverDeps = {
  bodies: {
    put: () => Promise.resolve(0),
    get: () => Promise.resolve(bytes("\r\nhello")),
    delete: () => Promise.resolve(),
  },
  signer: { sign: () => Promise.resolve(Buffer.from("Received: by us.example\r\n")) },
  returnPathOf: ({ returnPath }) => returnPath,
  connectOptions: {},
  isForbidden: () => false,
  placeOf: () => null,
  onEgressUnusable: () => assert.fail("no egress address is bound"),
  hooks: null,
  onInternalError: (_job, error) => {
    throw error;
  },
};

async function* bytes(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

/** Two hosts on one port: one that answers as told, and one that takes everything. */
async function twoHosts(answers: Answers) {
  const first = await scriptedPeer(answering(answers));
  const second = await startFakeMx({ host: "127.0.0.2", port: first.port });
  return {
    first,
    second,
    async [Symbol.asyncDispose]() {
      await first[Symbol.asyncDispose]();
      await second[Symbol.asyncDispose]();
    },
  };
}

function jobFor({ port }: Pick<ScriptedPeer, "port">, recipients: readonly string[]): Job {
  const mail = message();
  return {
    zone: { ...zone, port },
    message: mail,
    leases: recipients.map((recipient, i) => ({
      row: queueRow(mail, i + 1, { recipient: address(recipient) }),
      token: 1,
      worker: anna,
      until: mail.acceptedAt,
    })),
    site: "mx.one.example",
    hosts: ["127.0.0.1", "127.0.0.2"].map((ip, i) => ({
      name: `mx${i}.one.example`,
      addresses: [ip],
      preference: i,
    })),
    relay: null,
    http: null,
    way: null,
    skipSrs: false,
    sts: null,
    egressKey: "",
  };
}

async function send(job: Job) {
  const { signal } = new AbortController();
  const delivered = await deliver(job, null, deps, { signal });
  delivered.session?.quit();
  return delivered.outcomes.map(({ kind, route }) => `${kind} by ${route.mx}`);
}

describe("delivering a job", { timeout: 20_000 }, () => {
  test("leaves it untried when its Elastic IP has just gone to another host", async () => {
    await using hosts = await twoHosts({});
    const job = jobFor(hosts.first, ["rcpt@one.example"]);
    const pool = [{ address: "m1.example", name: "m1.example", share: 1, elastic: true }] as const;
    assert.deepEqual(await send({ ...job, zone: { ...job.zone, pool } }), []);
    assert.deepEqual([hosts.first.talks.length, hosts.second.counts.opened], [0, 0]);
  });

  test("goes on to the next host when one takes no mail now", async () => {
    await using hosts = await twoHosts({ MAIL: "421 4.3.2 going down" });
    assert.deepEqual(await send(jobFor(hosts.first, ["rcpt@one.example"])), ["delivered by mx1.one.example"]);
  });

  test("goes on to the next host when one cannot take UTF-8, and leaves that one", async () => {
    await using hosts = await twoHosts({});
    assert.deepEqual(await send(jobFor(hosts.first, ["jörg@one.example"])), ["delivered by mx1.one.example"]);
    await hosts.first.talks[0]?.end();
    assert.deepEqual(
      hosts.first.lines.map((line) => line.split(" ")[0]),
      ["EHLO", "QUIT"],
    );
  });
});
