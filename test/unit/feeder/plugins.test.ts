/** Plugins in an SMTP session: what each command comes to when a hook has a say in it. */

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { describe, test } from "node:test";

import { createConnection } from "node:net";
import { connect as connectTls, createSecureContext } from "node:tls";

import type { HookName } from "#shared/plugins/hooks.ts";
import { systemClock } from "#shared/runtime/system-clock.ts";
import type { PluginModule } from "#shared/plugins/load.ts";
import type { SessionView } from "#shared/plugins/views.ts";
import { collectingSubmit, testFeeder } from "../../support/feeder-harness.ts";
import type { TestFeederOptions } from "../../support/feeder-harness.ts";
import { loaded } from "../../support/plugins.ts";
import { SmtpTalker } from "../../support/smtp-talker.ts";
import { OTHER_CERT, OTHER_KEY, TEST_CERT, TEST_KEY } from "../../support/test-certificate.ts";

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

/** What a hook may do besides going on; a hook that hangs has 100 ms. */
const ENDS: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {
  throws: () => {
    throw new TypeError("oops");
  },
  "rejects with a code": async () => {
    throw Object.assign(new Error("4.7.0 Not now"), { responseCode: 450 });
  },
  hangs: () => new Promise(() => undefined),
  "goes on twice": (...args) => {
    const next = args.at(-1) as (error?: Error) => void;
    next();
    next(new Error("too late"));
  },
};

/** Takes `next` where it has to: by the count of its parameters it is known. */
function ending(what: string, parameters: number): (...args: readonly unknown[]) => unknown {
  const end = ENDS[what] as (...args: readonly unknown[]) => unknown;
  const handler = (...args: readonly unknown[]): unknown => end(...args);
  return Object.defineProperty(handler, "length", { value: what === "goes on twice" ? parameters + 1 : 0 });
}

async function feederThat(hook: HookName, what: string, parameters: number, options: TestFeederOptions = {}) {
  const init: PluginModule["init"] = async (app) => app.addHook(hook, ending(what, parameters));
  const { plugins, lines } = await loaded(init, { clock: systemClock, fields: { hookTimeoutMs: 100 } });
  return { lines, feeder: await testFeeder({ ...options, plugins }) };
}

describe("each end that a hook may come to", { timeout: 30_000 }, () => {
  const session: Readonly<Record<string, readonly [at: number, ends: readonly string[], usual: string]>> = {
    "smtp:connect": [0, ["451", "450", "451", "220"], "220"],
    "smtp:mail_from": [2, ["451", "450", "451", "250"], "250"],
    "smtp:rcpt_to": [3, ["451", "450", "451", "250"], "250"],
  };
  for (const [hook, [at, codes]] of Object.entries(session)) {
    for (const [i, what] of Object.keys(ENDS).entries()) {
      test(`${hook} that ${what} is answered with ${codes[i]}`, async () => {
        const { feeder } = await feederThat(hook as HookName, what, hook === "smtp:connect" ? 1 : 2);
        await using closing = feeder;
        const replies = await dialogue(closing.port, ["EHLO client", ...MAIL, "QUIT"]);
        assert.equal(replies[at]?.slice(0, 3), codes[i]);
      });
    }
  }

  for (const what of ["throws", "rejects with a code", "hangs", "goes on twice"]) {
    test(`smtp:init that ${what} keeps no interface from listening`, async () => {
      const { feeder, lines } = await feederThat("smtp:init", what, 1);
      await using closing = feeder;
      assert.equal((await dialogue(closing.port, ["QUIT"])).length, 2);
      const logged = lines.filter(({ msg }) => msg === "hook failed");
      assert.equal(logged.length, what === "goes on twice" ? 0 : 1);
    });
  }
});

describe("smtp:init", { timeout: 20_000 }, () => {
  test("has the server of the interface before it listens", async () => {
    let server: { maxConnections?: number } | undefined;
    await using feeder = await feederWith(async (app) => {
      app.addHook("smtp:init", async (given) => {
        ({ server } = given as { server: { maxConnections?: number; listening: boolean } });
        assert.equal((server as { listening?: boolean }).listening, false);
      });
    });
    assert.equal(feeder.server, server);
  });
});

describe("smtp:sni", { timeout: 20_000 }, () => {
  const settings = { tls: { key: TEST_KEY, cert: TEST_CERT, ca: null }, starttls: true };
  const own = createSecureContext({ key: OTHER_KEY, cert: OTHER_CERT });

  /** The certificate that a client sees who asks for this name. */
  async function certificateFor(port: number, servername: string, secure: boolean): Promise<string> {
    const raw = createConnection({ port, host: "127.0.0.1" });
    if (!secure) {
      using talker = new SmtpTalker(raw);
      await talker.reply();
      await talker.sayAll("EHLO client.example", "STARTTLS");
      raw.removeAllListeners();
      return await presented(raw, servername);
    }
    return presented(raw, servername);
  }

  function presented(socket: ReturnType<typeof createConnection>, servername: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const secured = connectTls({ socket, servername, rejectUnauthorized: false }, () => {
        const { fingerprint256 } = secured.getPeerCertificate();
        secured.destroy();
        resolve(fingerprint256);
      });
      secured.on("error", reject).on("close", () => reject(new Error("closed in the handshake")));
    });
  }

  const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256;

  for (const secure of [false, true]) {
    test(`chooses the certificate by the name, ${secure ? "with TLS from the first byte" : "after STARTTLS"}`, async () => {
      const asked: string[] = [];
      await using feeder = await feederWith(
        async (app) => {
          app.addHook("smtp:sni", (servername, data, next) => {
            asked.push(servername);
            if (servername === "own.example") data.secureContext = own;
            if (servername === "broken.example") throw new Error("oops");
            next();
          });
        },
        { settings: { ...settings, secure, starttls: !secure } },
      );
      const see = (name: string) => certificateFor(feeder.port, name, secure);
      assert.equal(await see("own.example"), fingerprint(OTHER_CERT));
      assert.equal(await see("other.example"), fingerprint(TEST_CERT));
      assert.equal(await see("broken.example"), fingerprint(TEST_CERT), "the configured one");
      assert.deepEqual(asked, ["own.example", "other.example", "broken.example"]);
    });
  }

  test("that hangs, or gives what is no context, leaves the configured certificate or ends that handshake alone", async () => {
    const hung = await feederThat("smtp:sni", "hangs", 2, { settings });
    await using feeder = hung.feeder;
    assert.equal(await certificateFor(feeder.port, "own.example", false), fingerprint(TEST_CERT));

    await using wrong = await feederWith(
      async (app) => {
        app.addHook("smtp:sni", async (servername, data) => {
          if (servername === "wrong.example") data.secureContext = "none" as never;
        });
      },
      { settings },
    );
    await certificateFor(wrong.port, "wrong.example", false).catch(() => undefined);
    assert.equal(await certificateFor(wrong.port, "other.example", false), fingerprint(TEST_CERT));
  });
});
