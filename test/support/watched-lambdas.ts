/**
 * The Lambdas at work on all that they are for, watched: every call of AWS that each of them makes. For the comparison with what they
 * are granted (test/infra/grants.test.ts).
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import { settler } from "#shared/app/settle.ts";
import type { AwsBackend } from "#shared/aws/open.ts";
import { openAws } from "#shared/aws/open.ts";
import type { Clock } from "#shared/domain/clock.ts";
import { classify } from "#shared/domain/bounce-class.ts";
import type { Config } from "#shared/domain/config.ts";
import { splitSecrets } from "#shared/domain/config-secrets.ts";
import { parseMessageId } from "#shared/domain/ids.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { NO_ROUTE, outcomeOfReply } from "#shared/domain/outcome.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import { slowedOnce } from "#shared/domain/pace.ts";
import { DAY, HOUR, later, MIB, SECOND } from "#shared/domain/units.ts";
import type { Zone, ZoneName } from "#shared/domain/zone.ts";
import { parseConfig } from "#shared/runtime/config.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { LambdaName } from "../../lambdas/build.ts";
import { sharedLocalAws } from "./aws-backend.ts";
import type { AwsCall } from "./aws-calls.ts";
import { callsOf, SECRET, SECRET_RESOURCE } from "./aws-calls.ts";
import type { AwsProxy, AwsRequest } from "./aws-proxy.ts";
import { startAwsProxy } from "./aws-proxy.ts";
import { acceptMail, takeRequest } from "./backend.ts";
import type { TestReceiver } from "./event-receiver.ts";
import { startReceiver } from "./event-receiver.ts";
import { httpPeer } from "./http-peer.ts";
import type { LambdaAnswer, LambdaApi } from "./lambda-api.ts";
import { startLambdaApi } from "./lambda-api.ts";
import { eventually } from "./relay-process.ts";
import { patient } from "./patience.ts";
import { addRecordedAccount, asker, keysIn, RECORDED, RECORDED_CONFIG } from "./recorded-requests.ts";
import { startSecretsServer } from "./secrets-server.ts";
import { silentObserver } from "./silent-observer.ts";
import { newestRecord } from "./stream-events.ts";

export type CallsByLambda = ReadonlyMap<LambdaName, readonly AwsCall[]>;

const MAX_SIZE = 8 * MIB;
const DEFAULT_ZONE = "default" as ZoneName;
const PATIENCE_MS = patient(30 * SECOND);
const refused = outcomeOfReply(smtpReply(550, ["5.1.1 no such user"]), NO_ROUTE);

/** Everything once. Resolves with what was seen. */
export async function watchLambdas(): Promise<CallsByLambda> {
  await using stack = new AsyncDisposableStack();
  const receiver = stack.use(await startReceiver());
  const directory = stack.use(await httpPeer(() => ({ status: 200, body: "{}" })));
  const config = parseConfig(
    {
      ...RECORDED_CONFIG,
      api: { maxSize: MAX_SIZE },
      webhooks: [{ url: receiver.url, secret: "hush" }],
      plugins: { "core/http-config": { enabled: true, url: directory.url } },
    },
    { source: null, baseDir: "/" },
  );
  const watch = await startWatch(config, stack);
  const backend = await backendOf(watch, { config });
  stack.defer(() => backend.close());
  const installation: Installation = { ...watch, config, receiver, backend };
  await recordedRequests(installation);
  await limits(installation);
  await failures(installation);
  await largeMail(installation);
  await bounces(installation);
  await housekeeping(installation);
  await zoneTakenAway(installation);
  return watch.calls();
}

interface Watch {
  readonly lambdas: LambdaApi;
  readonly proxy: AwsProxy;
  calls(): CallsByLambda;
}

interface Installation extends Watch {
  readonly config: Config;
  readonly receiver: TestReceiver;
  /** Of a sender: its calls are not watched. */
  readonly backend: AwsBackend;
}

/** Each has a key of its own, as each has a role on AWS: so it shows whose a call is, that of who uses a URL that it has signed, too. */
async function startWatch(config: Config, stack: AsyncDisposableStack): Promise<Watch> {
  const { env } = await sharedLocalAws();
  const proxy = stack.use(await startAwsProxy(env));
  const secrets = stack.use(await startSecretsServer());
  const sealKey = randomBytes(32).toString("hex");
  secrets.secrets.set(
    SECRET,
    JSON.stringify({ sealKey, config: Object.fromEntries(splitSecrets(config).secrets) }),
  );
  const seen = new Map<LambdaName, AwsCall[]>();
  let invoked: LambdaName | null = null;
  const note = (name: LambdaName, calls: readonly AwsCall[]): void => {
    seen.set(name, [...(seen.get(name) ?? []), ...calls]);
  };
  const noteSecrets = (): void => {
    const asked = secrets.calls.splice(0);
    const resource = SECRET_RESOURCE;
    if (invoked)
      note(
        invoked,
        asked.map((name) => ({ action: `secretsmanager:${name}`, resource, partitions: null })),
      );
  };
  const lambdas = stack.use(
    await startLambdaApi(config, {
      env: { ...secrets.env, ...proxy.env, ZONEFLEET_SECRET: SECRET },
      onInvoke(name) {
        noteSecrets();
        invoked = name;
        process.env["AWS_ACCESS_KEY_ID"] = name; // read at the first call of a client, and kept
      },
    }),
  );
  proxy.onAnswer = (request, answer) => note(whose(request), callsOf(request, answer, lambdas.names));
  return {
    lambdas,
    proxy,
    calls() {
      noteSecrets();
      return seen;
    },
  };
}

function whose({ headers, path }: AwsRequest): LambdaName {
  const [, key] = /Credential=([\w-]+)(?:\/|%2F)/.exec(`${headers.authorization ?? ""} ${path}`) ?? [];
  return (key ?? assert.fail(`nobody has signed ${path}`)) as LambdaName;
}

async function backendOf(
  { lambdas }: Watch,
  { config, clock = systemClock }: { config: Config; clock?: Clock },
): Promise<AwsBackend> {
  const { clients } = await sharedLocalAws();
  const zones = [...config.zones.keys()];
  return openAws({ clients, names: lambdas.names, clock, zones, historyMs: config.queue.historyMs });
}

async function recordedRequests({ lambdas, backend }: Installation): Promise<void> {
  const play = asker(await keysIn(backend.secrets), ({ body, ...asked }) =>
    lambdas.ask({ ...asked, ...(body === null ? {} : { body }) }),
  );
  await addRecordedAccount(backend.secrets);
  for (const recorded of RECORDED) await play(recorded);
}

/** What nobody asked for, or what was not there to be changed, when the requests were recorded. */
async function limits(installation: Installation): Promise<void> {
  const { backend } = installation;
  const ask = await asAdmin(installation);
  const createdAt = systemClock.now();
  const heard = { site: "mx", createdAt, until: later(createdAt, HOUR), response: "421 slow down" };
  await backend.limits.block({ ...heard, address: "192.0.2.1" });
  await backend.limits.slow({ ...heard, ...slowedOnce(null, createdAt), zone: DEFAULT_ZONE });
  for (const [method, path] of [
    ["GET", "/metrics"],
    ["DELETE", "/blacklist"],
    ["DELETE", "/slowed"],
  ] as const)
    assert.equal((await ask(method, path)).status, 200, path);
}

/** What is not there, and mail that cannot be stored. */
async function failures(installation: Installation): Promise<void> {
  const { backend, proxy } = installation;
  const ask = await asAdmin(installation);
  const { json } = await ask("POST", "/uploads");
  assert.equal((await ask("POST", `/send-raw?upload=${json.id}`)).status, 404);
  const id = await send(installation, "ben@example.org");
  await backend.bodies.delete(id);
  assert.equal((await ask("GET", `/fetch/${id}`)).status, 410);
  const tableFails = ({ operation }: AwsRequest) =>
    /^(BatchExecuteStatement|PutItem)$/.test(operation) ? ({ do: "refuse" } as const) : null;
  proxy.rules.add(tableFails);
  assert.equal((await ask("POST", "/send", { from: "anna@example.com", to: "ben@example.org" })).status, 503);
  proxy.rules.delete(tableFails);
}

/** By an upload, in parts; fetched by a URL; and one that is larger than mail may be. */
async function largeMail(installation: Installation): Promise<void> {
  const head = "From: anna@example.com\r\nTo: ben@example.net\r\nSubject: large\r\n\r\n";
  const line = "0123456789abcdef".repeat(5).concat("\r\n");
  const ask = await asAdmin(installation);
  for (const { bytes, status } of [
    { bytes: MAX_SIZE - MIB, status: 200 },
    { bytes: MAX_SIZE + MIB / 2, status: 413 },
  ]) {
    const { json } = await ask("POST", "/uploads");
    const body = head + line.repeat(bytes / line.length);
    const put = await fetch(json.url, {
      method: json.method,
      body,
      signal: AbortSignal.timeout(20 * SECOND),
    });
    assert.equal(put.status, 200, await put.text());
    const sent = await ask("POST", `/send-raw?upload=${json.id}`);
    assert.equal(sent.status, status, sent.text);
    if (status !== 200) continue;
    const fetched = await ask("GET", `/fetch/${json.id}`);
    assert.equal(fetched.status, 307, fetched.text);
    const got = await fetch(fetched.headers["location"] ?? "", { signal: AbortSignal.timeout(20 * SECOND) });
    assert.ok((await got.arrayBuffer()).byteLength > body.length, "it has a Message-ID of ours");
  }
}

/** A bounce in the stream: reported; kept when a report cannot be made, and made later; told to a receiver, at once and later. */
async function bounces(installation: Installation): Promise<void> {
  const { lambdas, proxy, receiver } = installation;
  const Records = [await bounced(installation, "refused@example.org")];
  const bodiesFail = ({ service }: { service: string }) =>
    service === "s3" ? ({ do: "refuse" } as const) : null;
  proxy.rules.add(bodiesFail);
  assert.deepEqual(await lambdas.invoke("events", { Records }), NO_FAILURES);
  proxy.rules.delete(bodiesFail);
  const ask = await asAdmin(installation);
  await eventually("the report that was kept", PATIENCE_MS, async () => {
    await lambdas.invoke("report-again", {});
    const { json } = await ask("GET", "/queued/active/bounces");
    return json.list.length > 0 ? true : null;
  });
  const next = [await bounced(installation, "refused2@example.org")];
  assert.deepEqual(await lambdas.invoke("events", { Records: next }), NO_FAILURES);
  receiver.answer = () => 503;
  assert.deepEqual(await lambdas.invoke("notify", { Records }), NO_FAILURES);
  receiver.answer = () => 200;
  await eventually("the event that was kept", PATIENCE_MS, async () => {
    await lambdas.invoke("notify-again", {});
    return receiver.taken.length > 0 ? true : null;
  });
}

/** History that is over, mail that nobody has taken, signals that nobody can use. */
async function housekeeping(installation: Installation): Promise<void> {
  const { lambdas, config } = installation;
  const before = { ...systemClock, now: () => later(systemClock.now(), -8 * DAY) };
  const backend = await backendOf(installation, { config, clock: before });
  const fields = { zone: DEFAULT_ZONE };
  const { rows } = await acceptMail(backend, before, { fields });
  await settleAll({ ...installation, backend }, rows[0]?.messageId ?? assert.fail());
  await acceptMail(backend, before, { fields });
  await backend.close();
  const swept = (await lambdas.invoke("sweep", {})) as { fed: number; purged: number };
  assert.ok(swept.fed > 0 && swept.purged > 0, JSON.stringify(swept));
  const id = await send(installation, "ben@example.org");
  const body = JSON.stringify({ m: id, d: "example.net", u: 0, q: [1] });
  const eventSourceARN = "arn:aws:sqs:us-east-1:1:zonefleet-default-dead";
  await lambdas.invoke("dead-letter", { Records: [{ messageId: "1", body, eventSourceARN }] });
}

async function zoneTakenAway({ lambdas }: Installation): Promise<void> {
  await using cloudFormation = await httpPeer(() => ({ status: 200 }));
  await lambdas.invoke("zone-guard", {
    RequestType: "Update",
    ResponseURL: cloudFormation.url,
    ResourceProperties: { Zones: [] },
    OldResourceProperties: { Zones: ["default", "bulk"] },
  });
  assert.match(cloudFormation.asked[0]?.body ?? "", /FAILED.*default/);
}

const NO_FAILURES = { batchItemFailures: [] };

async function asAdmin({
  lambdas,
  backend,
}: Installation): Promise<(method: string, path: string, body?: object) => Promise<LambdaAnswer>> {
  const authorization = `Bearer ${(await keysIn(backend.secrets)).get("admin")}`;
  const json = { authorization, "content-type": "application/json" };
  return (method, path, body) =>
    body === undefined
      ? lambdas.ask({ method, path, headers: { authorization } })
      : lambdas.ask({ method, path, headers: json, body: JSON.stringify(body) });
}

async function send(installation: Installation, to: string, fields: object = {}): Promise<MessageId> {
  const ask = await asAdmin(installation);
  const sent = await ask("POST", "/send", { from: "anna@example.com", to, text: "x", ...fields });
  assert.equal(sent.status, 200, sent.text);
  return parseMessageId(sent.json.id) ?? assert.fail(sent.text);
}

/** Sends a mail and has its recipient's server refuse it, and all else that is due. Resolves with the record of the bounce. */
async function bounced(installation: Installation, to: string): Promise<object> {
  const { lambdas } = installation;
  const id = await send(installation, to);
  const accepted = await recordOf(installation, id);
  assert.deepEqual(await lambdas.invoke("events", { Records: [accepted] }), NO_FAILURES);
  await settleAll(installation, id);
  return recordOf(installation, id);
}

/** All that is due is refused by its recipients' servers, until `id` is. */
async function settleAll(
  { backend, config }: Pick<Installation, "backend" | "config">,
  id: MessageId,
): Promise<void> {
  const settle = settler({
    ...backend,
    config,
    clock: systemClock,
    random: () => 0,
    observer: silentObserver,
    classify,
    slowDown: async () => undefined,
  });
  const zone = config.zones.get(DEFAULT_ZONE) as Zone;
  const terms = { zone, site: "mx", startedAt: systemClock.now(), otherEgress: false };
  for (let isOurs = false; !isOurs;) {
    const taken = await backend.queue.take(takeRequest({ zone: zone.name, waitMs: 20 * SECOND }));
    assert.ok(taken.length > 0, "the mail was not signalled");
    for (const { leases } of taken) await settle({ ...terms, leases, outcomes: leases.map(() => refused) });
    isOurs = taken.some(({ message }) => message.id === id);
  }
}

async function recordOf({ lambdas }: Installation, id: MessageId): Promise<object> {
  return newestRecord((await sharedLocalAws()).clients, lambdas.names.table, id);
}
