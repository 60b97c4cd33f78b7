import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { submitter } from "#shared/app/submit.ts";
import type { Submission, Submit } from "#shared/app/submission.ts";
import { RelaxedBodyHasher } from "#shared/domain/dkim-body.ts";
import type { MessageId } from "#shared/domain/ids.ts";
import { MINUTE } from "#shared/domain/units.ts";
import type { ZoneName } from "#shared/domain/zone.ts";
import type { PluginApp } from "#shared/plugins/app.ts";
import { RECEIVER_HOOK_MS } from "#shared/plugins/plugins.ts";
import { PluginError } from "#shared/plugins/verdict.ts";
import { openApp, submission } from "../../support/app.ts";
import type { App } from "../../support/app.ts";
import { address, newMessageId } from "../../support/builders.ts";
import { loaded } from "../../support/plugins.ts";
import { silentObserver } from "../../support/silent-observer.ts";

interface Watched extends AsyncDisposable {
  readonly app: App;
  readonly submit: Submit;
  /** Submits with an id that is known before. */
  send(fields?: Partial<Submission> & { text?: string }): Promise<MessageId>;
  bodyOf(id: MessageId): Promise<string | null>;
}

async function watchedBy(register: (app: PluginApp) => void): Promise<Watched> {
  const app = await openApp({ zones: { bulk: {} } });
  const { plugins } = await loaded(async (given) => register(given), { clock: app.clock });
  const { backend, config, clock } = app;
  const submit = submitter({ ...backend, config, clock, newMessageId, observer: silentObserver, plugins });
  return {
    app,
    submit,
    send: async (fields) => (await submit(submission(fields))).messageId,
    async bodyOf(id) {
      const chunks = await backend.bodies.get(id);
      return chunks && Buffer.concat(await Array.fromAsync(chunks)).toString("latin1");
    },
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

describe("a mail that plugins see", () => {
  test("goes when, where and for whom they say", async () => {
    await using it = await watchedBy((app) => {
      app.addHook("smtp:data", async (envelope) => {
        envelope.deferDelivery = it.app.clock.now() + MINUTE;
        envelope.fbl = "campaign";
        envelope.from = "";
      });
      app.addHook("queue:route", async (_envelope, routing) => {
        if (routing.recipient === "rcpt@one.example") {
          routing.recipient = "other@two.example";
          routing.deliveryZone = "BULK";
          routing.mxData = { mx: [{ exchange: "relay.example" }], mxPort: 2525 };
        } else routing.deliveryZone = "nowhere";
      });
    });
    const id = await it.send({
      recipients: ["rcpt@one.example", "b@one.example"].map(address),
    });
    const { message, rows } = (await it.app.backend.queue.get(id)) ?? assert.fail();
    assert.deepEqual([message.returnPath, message.fbl], [null, "campaign"]);
    assert.deepEqual(
      rows.map(({ recipient, zone, state, dueAt }) => [recipient, zone, state, dueAt - it.app.clock.now()]),
      [
        ["other@two.example", "bulk", "deferred", MINUTE],
        ["b@one.example", "default", "deferred", MINUTE],
      ],
    );
    assert.deepEqual(
      message.ways?.map(({ hosts, port }) => [hosts, port]),
      [[["relay.example"], 2525]],
    );
    assert.equal(rows[0]?.way, message.ways?.[0]?.id);
  });

  test("comes from where they say, as a gateway's mail does from its client", async () => {
    let origin: unknown = "192.0.2.99";
    await using it = await watchedBy((app) => {
      app.addHook("smtp:data", async (envelope) => {
        Object.assign(envelope, { origin, originhost: false, transhost: "laptop.example", user: "anna" });
      });
    });
    const { message } = (await it.app.backend.queue.get(await it.send())) ?? assert.fail();
    assert.deepEqual(
      [message.origin.ip, message.origin.host, message.origin.helo, message.origin.user],
      ["192.0.2.99", null, "laptop.example", "anna"],
    );
    assert.equal(message.origin.protocol, submission().origin.protocol);
    origin = "somewhere\r\nBcc: x";
    await assert.rejects(it.send(), /origin was set to .* which is not an? /);
  });

  test("is stored, sized and hashed as a rewriter leaves it, and shown so to message:store", async () => {
    let shown = "";
    await using it = await watchedBy((app) => {
      app.addRewriteHook(
        () => true,
        (_envelope, _node, source, destination) => {
          source.on("data", (chunk: Buffer) =>
            destination.write(chunk.toString().replace("hello", "good bye")),
          );
          source.on("end", () => destination.end());
        },
      );
      app.addHook("message:store", async (_envelope, body) => {
        body.on("data", (chunk: Buffer) => (shown += chunk.toString()));
      });
    });
    const id = await it.send();
    const { message } = (await it.app.backend.queue.get(id)) ?? assert.fail();
    const text = (await it.bodyOf(id)) ?? assert.fail();
    const content = text.slice(message.body.headerBytes);
    assert.match(content, /^good bye\r\n$/);
    assert.equal(shown, content);
    assert.equal(message.body.bytes, text.length);
    const hasher = new RelaxedBodyHasher();
    hasher.update(Buffer.from(content));
    assert.equal(message.body.dkimBodyHash, hasher.digest());
  });

  test("may have its headers changed when its body is stored already", async () => {
    await using it = await watchedBy((app) => {
      app.addHook("message:queue", async (envelope) => envelope.headers.update("Subject", "[spam] hello"));
    });
    const id = await it.send();
    const { message } = (await it.app.backend.queue.get(id)) ?? assert.fail();
    const text = (await it.bodyOf(id)) ?? assert.fail();
    assert.match(text, /^Subject: \[spam\] hello\r\n/m);
    assert.match(text.slice(message.body.headerBytes), /^hello\r\n$/);
    assert.deepEqual([message.subject, message.body.bytes], ["[spam] hello", text.length]);
  });

  for (const hook of [
    "smtp:data",
    "message:headers",
    "message:store",
    "message:queue",
    "queue:route",
  ] as const)
    test(`is not taken, and nothing of it kept, when ${hook} fails`, async () => {
      await using it = await watchedBy((app) => {
        app.addHook(hook, async () => {
          throw new Error("oops");
        });
      });
      const session = { envelopeId: newMessageId() } as unknown as NonNullable<Submission["session"]>;
      await assert.rejects(it.send({ session }), new PluginError("it", "oops"));
      assert.equal(await it.app.backend.queue.get(session.envelopeId as MessageId), null);
      assert.equal(await it.bodyOf(session.envelopeId as MessageId), null);
    });

  test("is not taken when a hook hangs", async () => {
    const asked = Promise.withResolvers<void>();
    await using it = await watchedBy((app) => {
      app.addHook("message:queue", (_envelope, _info, _next) => asked.resolve());
    });
    const sending = assert.rejects(it.send(), /has not come to its end in/);
    await asked.promise; // not before: until then the disk is waited for, whose time is not the clock's
    for (let i = 0; i < 20; i++) await it.app.clock.advance(RECEIVER_HOOK_MS / 10);
    await sending;
  });

  const key = { domainName: "a.example", keySelector: "s", privateKey: "secret" };
  for (const [what, put] of [
    ["a DKIM key that signs nothing, for which it would wait in vain", { dkim: { keys: [key] } }],
    ["what is no address", { to: ["nobody"] }],
    ["a time that is none", { deferDelivery: "tomorrow" }],
    ["more than may be kept", { much: "x".repeat(20_000) }],
    ["what JSON cannot hold", { odd: 1n }],
  ] as const)
    test(`is not taken when a plugin puts ${what} on it`, async () => {
      await using it = await watchedBy((app) => {
        app.addHook("message:queue", async (envelope) => void Object.assign(envelope, put));
      });
      await assert.rejects(it.send(), PluginError);
    });

  test("is not our own report, which nobody could send if a plugin refused it", async () => {
    await using it = await watchedBy((app) => {
      for (const hook of ["smtp:data", "message:headers", "queue:route"] as const)
        app.addHook(hook, async () => {
          throw new Error("oops");
        });
    });
    const dsn = { id: newMessageId(), zone: "bounces" as ZoneName };
    assert.equal(await it.send({ dsn }), dsn.id);
  });
});
