import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { DomainError, RefusedError } from "#shared/domain/errors.ts";
import type { PluginApp } from "#shared/plugins/app.ts";
import { loadPlugins } from "#shared/plugins/load.ts";
import { CONNECTION_HOOK_MS, RECEIVER_HOOK_MS, SENDER_HOOK_MS } from "#shared/plugins/plugins.ts";
import { DroppedError, PluginError } from "#shared/plugins/verdict.ts";
import type { EnvelopeView, SessionView } from "#shared/plugins/views.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { collectingLog, hastyClock } from "../../support/feeder-harness.ts";
import { NO_LIMITS, loaded, pluginConfig } from "../../support/plugins.ts";

const session = {} as SessionView;
const envelope = { id: "m1" } as EnvelopeView;

describe("hooks", () => {
  test("run one after another in the order of the plugins, by next or by promise, and stop at the first error", async () => {
    const ran: string[] = [];
    const { plugins } = await loaded([
      (app, done) => {
        app.addHook("smtp:connect", (_session, next) => {
          setImmediate(() => {
            ran.push("by next");
            next();
          });
        });
        done();
      },
      async (app) => {
        app.addHook("SMTP:Connect" as "smtp:connect", async () => void ran.push("by promise"));
        app.addHook("smtp:connect", () => {
          throw Object.assign(new Error("Go away"), { responseCode: 521 });
        });
        app.addHook("smtp:connect", async () => void ran.push("never"));
      },
    ]);
    await assert.rejects(plugins.run("smtp:connect", session), (error: unknown) => {
      assert.ok(error instanceof RefusedError);
      assert.deepEqual(error.reply, { code: 521, text: "5.7.1 Go away" });
      return true;
    });
    assert.deepEqual(ran, ["by next", "by promise"]);
  });

  for (const [name, what, fails] of [
    [
      "throws",
      "oops",
      () => () => {
        throw new TypeError("oops");
      },
    ],
    [
      "gives an error to next",
      "oops",
      () => (_: unknown, next: (error?: unknown) => void) => next(new Error("oops")),
    ],
    [
      "rejects although it takes next",
      "oops",
      () => async (_session: unknown, _next: unknown) => {
        throw new Error("oops");
      },
    ],
    ["rejects with what is no error", "a word", () => async () => Promise.reject("a word")], // eslint-disable-line -- plugins do
  ] as const)
    test(`that ${name} fail, and say whose fault it is`, async () => {
      const { plugins } = await loaded((app, done) => {
        app.addHook("smtp:connect", fails());
        done();
      });
      await assert.rejects(plugins.run("smtp:connect", session), new PluginError("it", what));
    });

  for (const [hook, timeoutMs] of [
    ["smtp:connect", RECEIVER_HOOK_MS],
    ["sender:fetch", SENDER_HOOK_MS],
  ] as const)
    test(`that hang are waited for no longer than their time: ${hook}`, async () => {
      const clock = fakeClock();
      const { plugins } = await loaded(
        (app, done) => {
          app.addHook(hook, (_seen: unknown, _next: unknown) => undefined);
          done();
        },
        { clock },
      );
      const running = assert.rejects(plugins.run(hook, {} as never), /has not come to its end in \d+ ms/);
      await clock.advance(timeoutMs);
      await running;
    });

  test("that hang while a connection stands idle have 5 seconds, whatever the configuration says", async () => {
    const clock = fakeClock();
    const { plugins } = await loaded(
      (app, done) => {
        app.addHook("sender:connection", (_delivery, _connection, _next) => undefined);
        done();
      },
      { clock, fields: { hookTimeoutMs: 3_600_000 } },
    );
    const running = assert.rejects(plugins.run("sender:connection", {} as never, {}), /in 5000 ms/);
    await clock.advance(CONNECTION_HOOK_MS);
    await running;
  });

  test("that call next twice, or fail after they were done, change nothing any more", async () => {
    const { plugins } = await loaded((app, done) => {
      app.addHook("smtp:connect", async (_session, next) => {
        next();
        next(new Error("late"));
        throw new Error("later");
      });
      done();
    });
    await plugins.run("smtp:connect", session);
  });

  test("whose errors mean nothing are logged, and more than there may be at once are left out", async () => {
    const { plugins, lines } = await loaded((app, done) => {
      app.addHook("log:entry", () => {
        throw new Error("oops");
      });
      done();
    });
    await plugins.tell("log:entry", { id: "m1", action: "QUEUED" });
    assert.equal(lines.find(({ msg }) => msg === "hook failed")?.fields["plugin"], "it");
    await Promise.all(
      Array.from({ length: 1_200 }, () => plugins.tell("log:entry", { id: "m1", action: "QUEUED" })),
    );
    assert.equal(lines.filter(({ msg }) => msg.startsWith("hook left out")).length, 200);
  });

  test("of contexts that the plugin is not enabled in, and hooks that are none, are not called, which is said", async () => {
    const { plugins, lines } = await loaded(
      (app, done) => {
        app.addHook("sender:fetch", () => undefined);
        app.addHook("sender:mx" as "sender:fetch", () => undefined);
        app.addAPI("get", "/x", () => undefined);
        done();
      },
      { fields: { contexts: ["receiver"] } },
    );
    assert.ok(!plugins.has("sender:fetch"));
    assert.deepEqual(plugins.registry.routes, []);
    assert.deepEqual(
      lines.filter(({ level }) => level === "warn").map(({ fields }) => fields["what"]),
      ["sender:fetch", "sender:mx", "get /x"],
    );
  });
});

describe("what a plugin says of a mail", () => {
  const verdicts = async (decide: (app: PluginApp) => Error): Promise<unknown> => {
    let app: PluginApp | null = null;
    await loaded((given, done) => {
      app = given;
      done();
    });
    return decide(app as unknown as PluginApp);
  };

  for (const [text, code, said] of [
    ["554 5.7.9 No", 554, "5.7.9 No"],
    ["No", 550, "5.7.1 No"],
    ["451 Not now", 451, "4.7.1 Not now"],
    ["250 odd", 550, "5.7.1 odd"],
    ["550 two\r\nlines", 550, "5.7.1 two lines"],
  ] as const)
    test(`reject ${JSON.stringify(text)} is ${code} ${said}`, async () => {
      const error = await verdicts((app) => app.reject(envelope, "spam", undefined, text));
      assert.ok(error instanceof RefusedError);
      assert.deepEqual(error.reply, { code, text: said });
    });

  test("drop has a text for the client, or none", async () => {
    for (const [text, said] of [
      ["250 Thank you", "Thank you"],
      [undefined, null],
    ] as const) {
      const error = await verdicts((app) => app.drop(envelope, "spam", undefined, text));
      assert.ok(error instanceof DroppedError);
      assert.deepEqual([error.description, error.text, error.responseCode], ["spam", said, 250]);
    }
  });
});

describe("what a plugin tells of a mail", () => {
  test("is in the log, told to log:entry, and nothing that it gives can fail it", async () => {
    const heard: unknown[] = [];
    let app: PluginApp | null = null;
    const { lines } = await loaded((given) => {
      app = given;
      given.addHook("log:entry", (entry) => void heard.push(entry));
    });
    const it = app as unknown as PluginApp;
    it.remotelog("m1", false, "SPAMCHECK", { score: 3, tests: ["ONE=3"], left: undefined });
    it.remotelog("m1", "001", "LOOKED");
    assert.deepEqual(heard, [
      { id: "m1", action: "SPAMCHECK", score: 3, tests: ["ONE=3"] },
      { id: "m1", seq: "001", action: "LOOKED" },
    ]);
    const [line] = lines.filter(({ msg }) => msg === "plugin tells of mail");
    assert.deepEqual([line?.fields["event"], line?.fields["messageId"]], ["SPAMCHECK", "m1"]);
    const ring: { self?: unknown } = {};
    ring.self = ring;
    it.remotelog("m1", false, "RING", ring);
    it.remotelog("m1", false, "LARGE", { text: "x".repeat(40_000) });
    assert.equal(heard.length, 2);
    assert.deepEqual(
      lines.filter(({ msg }) => msg.startsWith("entry left out")).map(({ fields }) => fields["what"]),
      ["RING", "LARGE"],
    );
  });

  test("at each entry that it hears of, is heard of no more", async () => {
    let heard = 0;
    const { plugins, lines } = await loaded(async (app) => {
      app.addHook("log:entry", async ({ id }) => {
        heard++;
        app.remotelog(id, false, "AT_ONCE");
        await new Promise((resolve) => setImmediate(resolve));
        app.remotelog(id, false, "LATER");
      });
    });
    await plugins.tell("log:entry", { id: "m1", action: "QUEUED" });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(heard, 3);
    assert.equal(lines.filter(({ msg }) => msg === "plugin tells of mail").length, 6);
  });

  test("in the form of GELF is a line of the log, at its level", async () => {
    const { lines } = await loaded((app) => {
      app.loggelf({ short_message: "[LIMIT] anna", _user: "anna", level: 4 });
    });
    const line = lines.find(({ msg }) => msg === "plugin says");
    assert.deepEqual(
      [line?.level, line?.fields["text"], line?.fields["entry"]],
      ["warn", "[LIMIT] anna", { _user: "anna" }],
    );
  });
});

describe("loading plugins", () => {
  const load = (fails: unknown, fields = {}) => {
    const { log, lines } = collectingLog();
    const importModule = async () => fails;
    const loading = loadPlugins([pluginConfig({ key: "./broken", ...fields })], {
      importModule,
      clock: hastyClock,
      log,
      limits: NO_LIMITS,
    });
    return { loading, lines };
  };

  for (const [what, module, reason] of [
    ["whose init fails", { init: async () => Promise.reject(new Error("no database")) }, /no database/],
    ["without init", { title: "x" }, /exports no function init/],
    [
      "that gives an error to done",
      { init: (_: unknown, done: (e: Error) => void) => done(new Error("no")) },
      /: no;/,
    ],
  ] as const)
    test(`a plugin ${what} stops the start, and is named`, async () => {
      await assert.rejects(load(module).loading, (error: unknown) => {
        assert.ok(error instanceof DomainError);
        assert.equal(error.code, "invalid-config");
        assert.match(error.message, /^plugin \.\/broken cannot be loaded: /);
        assert.match(error.message, reason);
        return true;
      });
    });

  test("one that wants what ZoneMTA has and ZoneFleet has not is told what there is instead", async () => {
    const wantsRedis = async (app: unknown): Promise<void> => {
      const { db } = app as { db: { redis: { incr: () => void } } };
      db.redis.incr();
    };
    await assert.rejects(load({ init: wantsRedis }).loading, /app\.db is not here: there is no database/);
    const looksFirst = async (app: unknown): Promise<void> => {
      const { redis, mongodb } = app as { redis?: unknown; mongodb?: unknown };
      if (redis || mongodb) throw new Error("there is one");
    };
    const { loading, lines } = load({ init: looksFirst });
    await loading;
    const told = lines.filter(({ msg }) => msg.startsWith("not there")).map(({ fields }) => fields["what"]);
    assert.deepEqual(told, ["app.redis", "app.mongodb"]);
  });

  test("one that is optional is left out, with what it had registered", async () => {
    const init = (app: PluginApp): never => {
      app.addHook("smtp:connect", () => undefined);
      throw new Error("no database");
    };
    const { loading, lines } = load({ init }, { optional: true });
    assert.ok(!(await loading).has("smtp:connect"));
    assert.equal(lines.find(({ level }) => level === "error")?.fields["plugin"], "./broken");
  });

  test("CommonJS, by its default export, is as good", async () => {
    const { loading } = load({
      default: {
        init: (app: PluginApp, done: () => void) => {
          app.addHook("smtp:connect", () => undefined);
          done();
        },
      },
    });
    assert.ok((await loading).has("smtp:connect"));
  });
});
