/** Hosts of a deployment that share Elastic IPs: one dies, one is to end. EC2 and the metadata of instances are the test's own. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";

import { later, SECOND } from "#shared/domain/units.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import { stopLocalAwsAtEnd } from "../support/aws-backend.ts";
import { newAwsInstallation } from "../support/aws-relay-store.ts";
import { startEc2Server } from "../support/ec2-server.ts";
import type { Instance } from "../support/ec2-server.ts";
import { fakeEc2 } from "../support/fake-ec2.ts";
import type { FakeMail, FakeMx } from "../support/fake-mx.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { noLocalAws } from "../support/local-aws.ts";
import { patient, TOGETHER } from "../support/patience.ts";
import type { MainProcess, RelayProcess } from "../support/relay-process.ts";
import { eventually, scratchFolder, startMain, startRelayProcess } from "../support/relay-process.ts";

const NAMES = ["m1.example", "m2.example"];
const INSTALLATION = "zonefleet-test";
const PATIENCE_MS = patient(90 * SECOND);
const MAIL_EVERY_MS = 200;

stopLocalAwsAtEnd();

async function scene() {
  const scope = new AsyncDisposableStack();
  const fake = fakeEc2({ clock: systemClock, names: NAMES });
  const ec2 = scope.use(await startEc2Server({ fake, installation: INSTALLATION }));
  const mx = scope.use(await startFakeMx());
  const { env } = await newAwsInstallation();
  const options = async (instance: Instance) => ({
    scratch: scope.use(await scratchFolder()),
    processes: 1,
    config: configOf(mx),
    env: {
      ...env,
      ...instance.env,
      ZONEFLEET_INSTALLATION: INSTALLATION,
    },
  });
  return {
    fake,
    ec2,
    mx,
    /** A sender on it; it ends with the scene. */
    start: async (instance: Instance): Promise<RelayProcess> =>
      scope.use(await startRelayProcess(await options(instance))),
    startAnyhow: async (instance: Instance): Promise<MainProcess> =>
      scope.use(await startMain(await options(instance))),
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  };
}

function configOf({ port }: FakeMx) {
  const zone = { host: "127.0.0.1", port, connectionCache: { ttl: 0.5, reuseCount: 5 } };
  const pools = { default: NAMES.map((name) => ({ address: "elastic", name })) };
  return { pools, zones: { default: zone, bounces: zone } };
}

/** One mail after another into a relay, until it is disposed of. */
function steadyMail({ httpUrl }: RelayProcess): AsyncDisposable {
  const stop = new AbortController();
  const running = (async () => {
    for (let i = 0; !stop.signal.aborted; i++) {
      const mail = { from: `s${i}@send.example`, to: `r${i}@one.example`, subject: "x", text: "x" };
      const body = JSON.stringify(mail);
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${httpUrl}/send`, { method: "POST", headers, body });
      await response.text();
      assert.equal(response.status, 200);
      await systemClock.sleep(MAIL_EVERY_MS, stop.signal);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

/** The first mail from an address by a host since then. Names are said by EHLO, hosts are known by what they bind. */
async function mailFrom(mx: FakeMx, name: string, ip: string, sinceMs = 0): Promise<FakeMail> {
  return eventually(
    `mail of ${name} from ${ip}`,
    PATIENCE_MS,
    () => mx.mails.find(({ peer, at }) => peer.helo === name && peer.ip === ip && at >= sinceMs) ?? null,
  );
}

/** The hosts that the mail of a name came from, one after another, as the receiver saw it. */
function hostsInTurn(mx: FakeMx, name: string): string[] {
  const ips = mx.mails.filter(({ peer }) => peer.helo === name).map(({ peer }) => peer.ip);
  return ips.filter((ip, i) => ip !== ips[i - 1]);
}

/** As the API shows it. */
async function holdersBy({ httpUrl }: RelayProcess): Promise<Record<string, string>> {
  const view = (await (await fetch(`${httpUrl}/internals`)).json()) as {
    elasticAddresses: { name: string; host: string }[];
  };
  return Object.fromEntries(view.elasticAddresses.map(({ name, host }) => [name, host]));
}

const options = { skip: noLocalAws(), timeout: 4 * PATIENCE_MS, concurrency: TOGETHER };

describe("hosts that share Elastic IPs", options, () => {
  test("send from those of a dead host within a minute, and never from two hosts at once", async (t) => {
    await using all = await scene();
    const { ec2, fake, mx } = all;
    const [dead, survivor] = [["127.0.0.11"], ["127.0.0.21", "127.0.0.22"]] as const;
    const dies = await all.start(await ec2.addInstance("eni-dies", dead)); // it has room for one
    await eventually("its address", PATIENCE_MS, () => fake.placeOf("m1.example"));
    const lives = await all.start(await ec2.addInstance("eni-lives", survivor));
    await using _ = steadyMail(lives);
    await mailFrom(mx, "m1.example", dead[0]);
    await mailFrom(mx, "m2.example", survivor[0]);
    assert.deepEqual(await holdersBy(lives), { "m1.example": "i-eni-dies", "m2.example": "i-eni-lives" });
    await dies.killAll();
    const killedAt = systemClock.now();
    const { at } = await mailFrom(mx, "m1.example", survivor[1], killedAt);
    tellSeconds(t, at - killedAt);
    assert.deepEqual(await holdersBy(lives), { "m1.example": "i-eni-lives", "m2.example": "i-eni-lives" });
    assert.ok(at - killedAt < patient(60 * SECOND));
    assert.deepEqual(hostsInTurn(mx, "m1.example"), [dead[0], survivor[1]]);
    assert.deepEqual(hostsInTurn(mx, "m2.example"), [survivor[0]]);
    const strangers = mx.mails.filter(({ peer }) => !NAMES.includes(peer.helo));
    assert.deepEqual(strangers, [], "nothing goes by another name");
  });

  test("stop sending from an address before another has it, when what holds it for them hangs", async () => {
    await using all = await scene();
    const { ec2, fake, mx } = all;
    const [first, second] = ["127.0.0.11", "127.0.0.22"];
    const hangs = await all.start(await ec2.addInstance("eni-hangs", [first]));
    await eventually("its address", PATIENCE_MS, () => fake.placeOf("m1.example"));
    const lives = await all.start(await ec2.addInstance("eni-lives", ["127.0.0.21", second]));
    await using mail = new AsyncDisposableStack();
    for (const relay of [hangs, lives]) mail.use(steadyMail(relay));
    await mailFrom(mx, "m1.example", first);
    hangs.signal("SIGSTOP"); // the supervisor: its worker would go on sending for ever
    const hungAt = systemClock.now();
    await mailFrom(mx, "m1.example", first, later(hungAt, 5 * SECOND));
    const { at } = await mailFrom(mx, "m1.example", second, hungAt);
    const last = mx.mails.findLast(({ peer }) => peer.ip === first);
    assert.ok(last && at - last.at > SECOND, "some seconds later, for clocks may differ");
    await mailFrom(mx, "m1.example", second, later(at, 2 * SECOND));
    assert.deepEqual(hostsInTurn(mx, "m1.example"), [first, second]);
  });

  test("give their addresses back and say that they are done when they are to end", async () => {
    await using all = await scene();
    const { ec2, fake, mx } = all;
    const [first, second] = ["127.0.0.11", "127.0.0.21"];
    const instance = await ec2.addInstance("eni-ends", [first]);
    const ends = await all.start(instance);
    await eventually("its address", PATIENCE_MS, () => fake.placeOf("m1.example"));
    const stays = await all.start(await ec2.addInstance("eni-stays", [second, "127.0.0.22"]));
    await using _ = steadyMail(stays);
    await mailFrom(mx, "m1.example", first);
    instance.host.end();
    assert.equal((await ends.ended).code, 0);
    assert.equal(instance.host.hasEnded, true);
    await mailFrom(mx, "m1.example", "127.0.0.22");
    assert.deepEqual(hostsInTurn(mx, "m1.example"), [first, "127.0.0.22"]);

    const again = await all.startAnyhow(instance); // as a service manager does
    await eventually("its word", PATIENCE_MS, () => (/is to end/.test(again.screen()) ? true : null));
    again.signal("SIGTERM");
    assert.equal((await again.ended).code, 0);
  });
});

function tellSeconds(t: TestContext, ms: number): void {
  t.diagnostic(`mail of the dead host's address left again after ${(ms / SECOND).toFixed(1)} s`);
}
