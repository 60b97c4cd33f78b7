/**
 * Configurations as ZoneMTA has them (test/data/zonemta) are imported by the command, and the relay is started with what it wrote and
 * nothing else: mail through each interface and zone goes as their operators meant it.
 */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";

import { createTransport } from "nodemailer";

import { HOUR, SECOND } from "#shared/domain/units.ts";
import { cliFolder } from "../support/cli-process.ts";
import type { CliFolder } from "../support/cli-process.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import type { FakeMail, FakeMx } from "../support/fake-mx.ts";
import { httpPeer } from "../support/http-peer.ts";
import { patient } from "../support/patience.ts";
import { eventually, scratchFolder, startRelayProcess } from "../support/relay-process.ts";
import type { RelayProcess } from "../support/relay-process.ts";
import { TEST_CERT, TEST_KEY } from "../support/scripted-peer.ts";

const DATA = join(import.meta.dirname, "../data/zonemta");
const PATIENCE_MS = patient(20 * SECOND);

/** A copy of a ZoneMTA, whose files other tests cannot change. */
async function zoneMta(cli: CliFolder, name: string): Promise<string> {
  const root = join(cli.path, "zone-mta");
  await cp(join(DATA, name), root, { recursive: true });
  return root;
}

/** What the command wrote and said, which it must not have anything more to put right of. */
async function imported(cli: CliFolder, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { code, out, err } = await cli.zonefleet(["import-config", ...args], env);
  assert.equal(code, 0, err);
  assert.doesNotMatch(out, /To be put right/);
  const text = await readFile(join(cli.path, "zonefleet.config.json"), "utf8");
  return { said: out, text, config: JSON.parse(text) as Record<string, unknown> };
}

function portOf(relay: RelayProcess, name: string): number {
  const ready = relay.log.find(({ msg }) => msg === "worker ready");
  const listens = ready?.["listens"] as readonly { name: string; port: number }[];
  return listens.find((one) => one.name === name)?.port ?? assert.fail(`${name} is not open`);
}

/** Send a mail, and wait for it at its receiver. */
async function sent(port: number, mx: FakeMx, { to, from = "me@sender.example", headers = {} }: Mail) {
  await createTransport({ host: "127.0.0.1", port, ignoreTLS: true }).sendMail({
    envelope: { from, to },
    raw: mailText(headers),
  });
  return eventually(`mail for ${to}`, PATIENCE_MS, () => arrived(mx, to).at(-1) ?? null);
}

interface Mail {
  readonly to: string;
  readonly from?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function mailText(headers: Readonly<Record<string, string>>): string {
  const type = "text/plain";
  const lines = Object.entries({
    From: "me@sender.example",
    Subject: "Moved",
    "Content-Type": type,
    ...headers,
  });
  return `${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\nIt works.\r\n`;
}

function arrived(mx: FakeMx, to: string): FakeMail[] {
  return mx.mails.filter(({ recipients }) => recipients.includes(to));
}

const everywhere = { "*.example": { a: ["127.0.0.1"] } };

describe("a configuration of ZoneMTA", () => {
  test("in TOML files sends through its zones and pools, with its plugins and limits", async () => {
    await using cli = await cliFolder();
    await using scratch = await scratchFolder();
    await using mx = await startFakeMx();
    const dns = await startDnsServer(everywhere);
    try {
      const root = await zoneMta(cli, "toml");
      const zones = ["default", "routed", "partners", "plain", "reports"];
      const { said, text } = await imported(cli, [
        join(root, "config"),
        ...["smtpInterfaces.feeder.port=0", "api.port=0", `dns.nameservers=${dns.address}`].flatMap(set),
        ...zones.flatMap((zone) => set(`zones.${zone}.port=${mx.port}`)),
      ]);
      for (const line of [
        /zones\.default\.connections: is 8 now/,
        /zones\.routed\.throttling: is 600\/minute of the whole zone/,
        /zones\.plain\.pool.*: is empty now/,
        /feeder\.name: is banner now/,
        /domainConfig\.defaults: is domainConfig\.default now/,
        /delivery-counters"\]: counts in Redis/,
        /pluginsPath: is .*zone-mta\/plugins now/,
      ])
        assert.match(said, line);
      await using relay = await startRelayProcess({ scratch, config: text, processes: 1 });
      const feeder = portOf(relay, "feeder");

      const plain = await sent(feeder, mx, { to: "a@one.example" });
      assert.deepEqual([plain.peer.ip, plain.peer.helo], ["127.0.0.2", "out2.sender.example"]);
      const head = plain.body.toString();
      assert.match(head, /^To: .*a@one\.example/m);
      assert.match(head, /^MIME-Version: 1\.0/m);
      assert.match(head, /^X-Stamp: of the plugin 2020-01-02/m);
      assert.doesNotMatch(head, /^X-Originating-IP/im);

      const routed = await sent(feeder, mx, { to: "b@one.example", headers: { "X-User-Id": "anna" } });
      assert.deepEqual([routed.peer.ip, routed.peer.helo], ["127.0.0.3", "out3.sender.example"]);
      const chosen = await sent(feeder, mx, {
        to: "c@one.example",
        headers: { "X-Sending-Zone": "partners" },
      });
      assert.equal(chosen.peer.ip, "127.0.0.4");
      assert.equal((await sent(feeder, mx, { to: "d@partner.example" })).peer.ip, "127.0.0.4");
      const any = await sent(feeder, mx, { to: "e@one.example", from: "me@plain.example" });
      assert.equal(any.peer.ip, "127.0.0.1", "no pool is any address of the system");

      const returned = await sentAndReturned(feeder, mx);
      assert.equal(returned.peer.ip, "127.0.0.3", "by the zone of reports");
      assert.match(returned.body.toString(), /^From: "?Returned Mail"? <returned@/m);

      const many = await createTransport({ host: "127.0.0.1", port: feeder, ignoreTLS: true }).sendMail({
        envelope: { from: "me@own.example", to: ["f@one.example", "g@one.example", "h@one.example"] },
        raw: mailText({}),
      });
      assert.deepEqual(many.rejected, ["h@one.example"]);
      const hops = { Received: Array.from({ length: 4 }, () => "by x").join("\r\nReceived: ") };
      await assert.rejects(sent(feeder, mx, { to: "i@one.example", headers: hops }), /loop/i);

      const waiting = await waits(relay, feeder, { to: "w@later.example" });
      assert.deepEqual([waiting.zone, waiting.attempts], ["waiting", 0]);
    } finally {
      await dns.close();
    }
  });

  test("in JavaScript, JSON and a file over both logs users in, relays, signs and rewrites", async () => {
    await using cli = await cliFolder();
    await using scratch = await scratchFolder();
    await using mx = await startFakeMx();
    await using relayHost = await startFakeMx();
    await using auth = await httpPeer(({ headers }) => ({
      status: headers["authorization"] === `Basic ${btoa("anna:right")}` ? 200 : 401,
    }));
    await using bounces = await httpPeer(() => ({ status: 200 }));
    const dns = await startDnsServer(everywhere);
    try {
      const root = await zoneMta(cli, "js");
      await mkdir(join(root, "keys"));
      const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 1_024 }); // as movers have them
      await writeFile(join(root, "keys/dkim.pem"), privateKey.export({ type: "pkcs8", format: "pem" }));
      await writeFile(join(root, "keys/server.key"), TEST_KEY);
      await writeFile(join(root, "keys/server.crt"), TEST_CERT);
      await writeFile(join(root, "etc/dns.toml"), `[dns]\nnameservers = ["${dns.address}"]\n`);
      const ports = ["feeder", "submission", "lmtp"].map((name) => `smtpInterfaces.${name}.port=0`);
      const { said, text } = await imported(
        cli,
        [
          join(root, "config"),
          join(root, "etc/site.toml"),
          join(root, "etc/dns.toml"),
          ...[...ports, "api.port=0", `zones.default.port=${mx.port}`].flatMap(set),
        ],
        {
          AUTH_URL: `${auth.url}/auth`,
          BOUNCE_URL: `${bounces.url}/bounced`,
          RELAY_PORT: String(relayHost.port),
          APPCONF_smtpInterfaces_submission_maxSize: "5000",
        },
      );
      for (const line of [
        /process\.env\.AUTH_URL, .*: its value is in the file/,
        /core\/http-config"\]\.check: it is no data/,
        /pools\.default\[1\]\.ratio: is 0, which is never used/,
        /zones\.relayed\.pool: is empty now/,
        /bouncesFile: .*lines of your own/,
      ])
        assert.match(said, line);
      await using relay = await startRelayProcess({ scratch, config: text, processes: 1 });

      const direct = await sent(portOf(relay, "feeder"), mx, { to: "a@one.example" });
      assert.equal(direct.peer.ip, "127.0.0.5");
      assert.match(direct.returnPath ?? "", /^SRS0=[^=]+=[^=]+=sender\.example=me@srs\.sender\.example$/);
      assert.match(direct.body.toString(), /^DKIM-Signature: [^]*?d=sender\.example; s=s1;/m);

      const submission = {
        host: "127.0.0.1",
        port: portOf(relay, "submission"),
        tls: { rejectUnauthorized: false },
      };
      const anna = { user: "anna", pass: "right" };
      const mail = {
        from: "me@own.example",
        to: "b@relayed.example",
        subject: "By a relay",
        text: "It works.",
      };
      await createTransport({ ...submission, requireTLS: true, auth: anna }).sendMail(mail);
      const [relayed] = await relayHost.waitFor(1, PATIENCE_MS);
      assert.equal(relayed?.returnPath, "me@own.example", "its domain is not rewritten");
      for (const [options, why] of [
        [{ auth: { ...anna, pass: "wrong" } }, /535/],
        [{}, /530/],
        [{ ignoreTLS: true }, /530/],
      ] as const)
        await assert.rejects(createTransport({ ...submission, ...options }).sendMail(mail), why);
      const large = { ...mail, text: "x".repeat(6_000) };
      await assert.rejects(createTransport({ ...submission, auth: anna }).sendMail(large), /552/);

      const later = Date.now() + HOUR;
      const headers = { Date: new Date(later).toUTCString() };
      const delayed = await waits(relay, portOf(relay, "feeder"), { to: "later@one.example", headers });
      assert.ok(Math.abs(delayed.next - later) <= SECOND, `at ${delayed.next}, not ${later}`);

      const lmtp = createTransport({ host: "127.0.0.1", port: portOf(relay, "lmtp"), lmtp: true });
      await lmtp.sendMail({ ...mail, to: "550-rcpt@one.example" });
      const [told] = await eventually("the bounce", PATIENCE_MS, () =>
        bounces.asked.length > 0 ? bounces.asked : null,
      );
      assert.match(told?.body ?? "", /to=550-rcpt%40one\.example/);
    } finally {
      await dns.close();
    }
  });
});

const set = (text: string): string[] => ["--set", text];

/** A mail that is refused for good, and the report on it. */
async function sentAndReturned(port: number, mx: FakeMx): Promise<FakeMail> {
  await createTransport({ host: "127.0.0.1", port, ignoreTLS: true }).sendMail({
    envelope: { from: "me@sender.example", to: "550-rcpt@one.example" },
    raw: mailText({}),
  });
  return eventually("the report", PATIENCE_MS, () => arrived(mx, "me@sender.example")[0] ?? null);
}

/** The row of a mail that is taken, and not sent yet. */
async function waits(relay: RelayProcess, port: number, { to, headers = {} }: Mail): Promise<ShownRow> {
  const { response } = await createTransport({ host: "127.0.0.1", port, ignoreTLS: true }).sendMail({
    envelope: { from: "me@own.example", to },
    raw: mailText(headers),
  });
  const [, id = ""] = /queued as (\S+)/.exec(response) ?? [];
  const shown = await fetch(`${relay.httpUrl}/message/${id}`);
  const { messages } = (await shown.json()) as { messages: ShownRow[] };
  assert.match(messages[0]?.status ?? "", /^(QUEUED|DEFERRED)$/);
  return messages[0] as ShownRow;
}

interface ShownRow {
  readonly zone: string;
  readonly status: string;
  readonly attempts: number;
  readonly next: number;
}
