/**
 * Ways of single senders and recipients (ZoneMTA's `mxData`), chosen by the operator's directory: whose login carries what, what the
 * store holds of it, and that a relay which is down delays no mail but its own.
 */

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import type { MessageId } from "#shared/domain/ids.ts";

import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { httpPeer } from "../support/http-peer.ts";
import type { HttpPeer } from "../support/http-peer.ts";
import { describeOverBackends } from "../support/over-backends.ts";
import { startRelay } from "../support/relay.ts";
import type { Relay } from "../support/relay.ts";
import { answering, scriptedPeer } from "../support/scripted-peer.ts";
import type { Talk } from "../support/scripted-peer.ts";

const MAILS = 4;
/** More than a lane holds for the connections that it may have. */
const STUCK = 40;
const login = (user: string, pass: string): string => Buffer.from(`\0${user}\0${pass}`).toString("base64");

/** A directory that says of each sender what is his, by the local part of his address. */
function directory(ways: Readonly<Record<string, object>>): Promise<HttpPeer> {
  return httpPeer(({ body }) => {
    const [name = ""] = (new URLSearchParams(body).get("from") ?? "").split("@");
    return { status: 200, body: JSON.stringify(ways[name] ?? {}) };
  });
}

const asking = ({ url }: HttpPeer) => ({ "core/http-config": { enabled: true, url } });

async function send({ httpUrl }: Relay, from: string, to = "you@one.example"): Promise<MessageId> {
  const response = await fetch(`${httpUrl}/send`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ from: `${from}@sender.example`, to, subject: "Hello", text: "It works.\n" }),
  });
  const { id, error } = (await response.json()) as { id?: MessageId; error?: string };
  assert.ok(id, error);
  return id;
}

async function fate(relay: Relay, id: MessageId): Promise<string> {
  const { rows } = await relay.finished(id);
  return `${rows[0]?.state} ${rows[0]?.lastAttempt?.route.mx}`;
}

describeOverBackends("a sender's own relay", (start) => {
  test(
    "is logged in to as him, and no connection carries another's mail, though host, port and domain are the same",
    { timeout: 60_000 },
    async () => {
      await using peer = await scriptedPeer(
        answering({ EHLO: "250-relay\r\n250 AUTH PLAIN", AUTH: "235 2.7.0 in" }),
      );
      const mxAuth = (user: string, pass: string) => ({
        mx: "127.0.0.1",
        mxPort: peer.port,
        mxAuth: { user, pass },
      });
      const ways = {
        anna: mxAuth("anna", "one"),
        ben: mxAuth("ben", "two"),
        eve: mxAuth("anna", "three"), // the same user name, and not his password
        none: { mx: "127.0.0.1", mxPort: peer.port },
      };
      await using asked = await directory(ways);
      await using relay = await start({ dns: fakeDns({}), config: { plugins: asking(asked) } });
      for (let mail = 0; mail < MAILS; mail++) {
        for (const from of Object.keys(ways))
          assert.equal(await fate(relay, await send(relay, from)), "delivered 127.0.0.1");
      }
      const owners = { anna: login("anna", "one"), ben: login("ben", "two"), eve: login("anna", "three") };
      let carried = 0;
      for (const talk of peer.talks) {
        const said = talk.received.toString("latin1");
        const [, token] = /AUTH PLAIN (\S+)/.exec(said) ?? [];
        const owner = Object.entries(owners).find(([, known]) => known === token)?.[0] ?? "none";
        const senders = [...said.matchAll(/MAIL FROM:<(\w+)@/g)].map(([, from]) => from);
        carried += senders.length;
        assert.deepEqual(new Set(senders), new Set([owner]));
      }
      assert.equal(carried, MAILS * Object.keys(ways).length);
      assert.ok(peer.talks.length < carried, "connections are used again");
    },
  );

  for (const [what, script] of [
    ["is down", null],
    ["says nothing", async (talk: Talk) => talk.end()],
  ] as const) {
    test(`that ${what} delays his mail alone, however much there is of it`, { timeout: 60_000 }, async () => {
      await using mx = await startFakeMx();
      const ways: Record<string, object> = {};
      await using asked = await directory(ways);
      const dns = fakeDns(oneExample());
      const zones = { default: { port: mx.port } };
      await using relay = await start({ dns, config: { zones, plugins: asking(asked) } });
      await using peer = script && (await scriptedPeer(script)); // ends before the relay does
      ways["anna"] = { mx: "127.0.0.1", mxPort: peer?.port ?? 1 };
      const stuck = await Promise.all(Array.from({ length: STUCK }, () => send(relay, "anna")));
      for (let mail = 0; mail < MAILS; mail++)
        assert.equal(await fate(relay, await send(relay, "ben")), "delivered mx.one.example");
      for (const id of stuck) {
        const { rows } = await relay.message(id);
        assert.ok(rows[0]?.state !== "delivered");
        assert.ok((rows[0]?.attempts ?? 9) <= 1, "what waits for a relay that is down is not tried");
      }
    });
  }
});

test(
  "the password of a relay is nowhere in the data folder, nor in what the API shows",
  { timeout: 30_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "zonefleet-sealed-"));
    try {
      const hidden = "NobodyShouldReadThis";
      const ways = {
        anna: { mx: "127.0.0.1", mxPort: 1, mxAuth: { user: "anna", pass: hidden } },
        ben: { http: true, targetUrl: `http://ben:${hidden}@127.0.0.1:1/in?key=${hidden}` },
      };
      await using asked = await directory(ways);
      await using relay = await startRelay({ dns: fakeDns({}), folder, config: { plugins: asking(asked) } });
      for (const from of ["anna", "ben"]) {
        const id = await send(relay, from);
        for (const path of [`/message/${id}`, "/events", `/fetch/${id}`])
          assert.doesNotMatch(await (await fetch(relay.httpUrl + path)).text(), new RegExp(hidden));
        const shown = await (await fetch(`${relay.httpUrl}/message/${id}`)).text();
        assert.match(shown, /"way":"(?:127\.0\.0\.1:1 as anna|HTTP POST to http:\/\/127\.0\.0\.1:1\/in)"/);
        const { rows } = await relay.message(id);
        assert.doesNotMatch(JSON.stringify(rows), new RegExp(hidden));
      }
      const list = await (await fetch(`${relay.httpUrl}/queued/active/default`)).text();
      assert.doesNotMatch(list, new RegExp(hidden));
      const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((file) =>
        file.isFile(),
      );
      assert.ok(files.some(({ name }) => name === "store.mdb"));
      for (const { parentPath, name } of files) {
        const bytes = await readFile(join(parentPath, name));
        assert.equal(bytes.indexOf(hidden), -1, name);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);

test(
  "recipients of a way by HTTP are posted, and return paths stay as they are where skipSRS says so",
  { timeout: 30_000 },
  async () => {
    await using server = await httpPeer(() => ({ status: 200 }));
    await using mx = await startFakeMx();
    await using asked = await directory({
      anna: { http: true, targetUrl: `${server.url}/in?key=k` },
      ben: { mx: "127.0.0.1", mxPort: mx.port, skipSRS: true },
      eve: { mx: "127.0.0.1", mxPort: mx.port },
    });
    const srs = { enabled: true, secret: "long enough", rewriteDomain: "us.example" };
    await using relay = await startRelay({
      dns: fakeDns({}),
      config: { plugins: { ...asking(asked), "core/srs": srs }, uploads: { userAgent: "Fleet/2" } },
    });
    for (const from of ["anna", "ben", "eve"])
      assert.match(await fate(relay, await send(relay, from)), /^delivered 127/);
    assert.deepEqual(
      server.asked.map(({ target, headers }) => [target, headers["user-agent"]]),
      [["/in?key=k", "Fleet/2"]],
    );
    const [ben, eve] = await mx.waitFor(2);
    assert.equal(ben?.returnPath, "ben@sender.example");
    assert.match(eve?.returnPath ?? "", /^SRS0=.*=eve@us\.example$/);
  },
);
