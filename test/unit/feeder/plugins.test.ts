/** Plugins in an SMTP session: what each command comes to when a hook has a say in it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createConnection } from "node:net";

import type { PluginModule } from "#shared/plugins/load.ts";
import type { SessionView } from "#shared/plugins/views.ts";
import { collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import type { TestFeederOptions } from "../../support/feeder-harness.ts";
import { loaded } from "../../support/plugins.ts";

/** Says the lines in turn, each after the reply to the one before, and gives the replies, the greeting first. */
async function dialogue(port: number, lines: readonly string[]): Promise<string[]> {
  const socket = createConnection({ host: "127.0.0.1", port });
  const replies: string[] = [];
  let text = "";
  const left = [...lines];
  socket.setEncoding("latin1");
  for await (const chunk of socket as AsyncIterable<string>) {
    text += chunk;
    for (
      let match = /^(?:\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(text);
      match;
      match = /^(?:\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(text)
    ) {
      replies.push(match[0].trimEnd());
      text = text.slice(match[0].length);
      const next = left.shift();
      if (next === undefined) socket.end();
      else socket.write(`${next}\r\n`);
    }
  }
  return replies;
}

async function feederWith(init: PluginModule["init"], options: TestFeederOptions = {}) {
  const { plugins } = await loaded(init);
  return testFeeder({ ...options, plugins });
}

const MAIL = ["MAIL FROM:<a@one.example> SIZE=10", "RCPT TO:<b@two.example>"];

describe("hooks of an SMTP session", { timeout: 20_000 }, () => {
  test("refuse a connection, a sender and a recipient, each with its code", async () => {
    await using closed = await feederWith((app, done) => {
      app.addHook("smtp:connect", (_session, next) =>
        next(Object.assign(new Error("Go away"), { responseCode: 554 })),
      );
      done();
    });
    assert.deepEqual(await dialogue(closed.port, []), ["554 5.7.1 Go away"]);

    await using feeder = await feederWith(async (app) => {
      app.addHook("smtp:mail_from", async (address) => {
        if (address.address === "bad@one.example")
          throw Object.assign(new Error("Not you"), { responseCode: 553 });
      });
      app.addHook("smtp:rcpt_to", async (address) => {
        if (address.address === "broken@two.example") throw new Error("oops");
      });
    });
    const replies = await dialogue(feeder.port, [
      "EHLO client",
      "MAIL FROM:<bad@one.example>",
      "MAIL FROM:<a@one.example>",
      "RCPT TO:<broken@two.example>",
      "RCPT TO:<b@two.example>",
      "QUIT",
    ]);
    assert.deepEqual(replies.slice(2, 6), [
      "553 5.7.1 Not you",
      "250 2.1.0 Sender OK",
      "451 4.3.0 Cannot check this now, try again later",
      "250 2.1.5 Recipient OK",
    ]);
  });

  test("see one session, with what they put on it, and the parameters of commands", async () => {
    const seen: unknown[] = [];
    const { submit, collected } = collectingSubmit();
    const init: PluginModule["init"] = (app, done) => {
      app.addHook("smtp:connect", async (session) => void (session["mark"] = "mine"));
      app.addHook("smtp:mail_from", async (address, session) => {
        seen.push([address.args, session["mark"], session.hostNameAppearsAs, typeof session.envelopeId]);
        session.sendingZone = "bulk";
      });
      done();
    };
    await using feeder = await feederWith(init, { submit });
    await dialogue(feeder.port, ["EHLO client", ...MAIL, "DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT"]);
    assert.deepEqual(seen, [[{ SIZE: "10" }, "mine", "client", "string"]]);
    const session = collected[0]?.session as SessionView;
    assert.equal(session.sendingZone, "bulk");
    assert.deepEqual(session.envelope.rcptTo, [{ address: "b@two.example", args: {} }]);
  });

  test("say who may log in, in place of the accounts", async () => {
    const { submit, collected } = collectingSubmit();
    const init: PluginModule["init"] = (app, done) => {
      app.addHook("smtp:auth", async (auth) => {
        if (auth.password === "broken") throw new Error("oops");
        if (auth.password !== "right") throw Object.assign(new Error("no"), { responseCode: 535 });
        auth.username = `${auth.username}@realm`;
      });
      done();
    };
    const settings = { authentication: true, allowInsecureAuth: true };
    await using feeder = await feederWith(init, { submit, settings });
    const plain = (password: string) => `AUTH PLAIN ${Buffer.from(`\0anna\0${password}`).toString("base64")}`;
    const replies = await dialogue(feeder.port, [
      "EHLO client",
      plain("wrong"),
      plain("broken"),
      plain("right"),
      ...MAIL,
      "DATA",
      "Subject: x\r\n\r\nx\r\n.",
      "QUIT",
    ]);
    assert.deepEqual(
      replies.slice(2, 5).map((reply) => reply.slice(0, 3)),
      ["535", "454", "235"],
    );
    assert.equal(collected[0]?.origin.user, "anna@realm");
  });
});
