import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import type { Transform } from "node:stream";
import { describe, test } from "node:test";
import { promisify } from "node:util";

import * as fc from "fast-check";
import { Splitter } from "mailsplit";

import { DomainError, RefusedError } from "#shared/domain/errors.ts";
import type { PluginModule } from "#shared/plugins/load.ts";
import { pastPlugins } from "#shared/plugins/body-stage.ts";
import { RECEIVER_HOOK_MS } from "#shared/plugins/plugins.ts";
import type { EnvelopeView } from "#shared/plugins/views.ts";
import { fakeClock } from "../../support/fake-clock.ts";
import { loaded } from "../../support/plugins.ts";

const MAIL = [
  "Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
  "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n",
  "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQF\r\n",
  "--b--\r\n",
].join("");

async function* inPieces(text: string, size: number): AsyncIterable<Buffer> {
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function past(
  init: PluginModule["init"],
  { text = MAIL, size = 64, source = inPieces(text, size), envelope = {} as EnvelopeView } = {},
): Promise<string> {
  const { plugins } = await loaded(init);
  const chunks = await Array.fromAsync(pastPlugins(source, envelope, plugins));
  return Buffer.concat(chunks).toString("latin1");
}

describe("a mail past plugins", () => {
  test("that only read is what it was, however it is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 500 }),
        fc.string({ maxLength: 200 }),
        async (size, more) => {
          const text = MAIL + more.replaceAll(/[^ -~]/g, "");
          const seen: string[] = [];
          const out = await past(
            (app, done) => {
              app.addAnalyzerHook((_envelope, input, output) => input.pipe(output));
              app.addStreamHook(
                (_envelope, node) => node.contentType === "image/png",
                (_envelope, _node, input, ended) => {
                  input.on("data", (chunk: Buffer) => seen.push(chunk.toString("hex"))).on("end", ended);
                },
              );
              done();
            },
            { text, size },
          );
          assert.equal(out, text);
          assert.equal(seen.join(""), "000102030405");
        },
      ),
      { numRuns: 30 },
    );
  });

  test("is rewritten part by part, headers of the part too", async () => {
    const out = await past((app, done) => {
      app.addRewriteHook(
        (_envelope, node) => node.contentType === "text/plain",
        (_envelope, node, input, output) => {
          if (node.headers) node.headers.add("X-Part", "changed");
          input.on("data", (chunk: Buffer) => output.write(chunk.toString().toUpperCase()));
          input.on("end", () => output.end());
        },
      );
      done();
    });
    assert.match(out, /X-Part: changed\r\n/);
    assert.match(out, /HELLO/);
    assert.match(out, /AAECAwQF\r\n--b--\r\n$/);
  });

  test("that is large is never held whole", async () => {
    const line = Buffer.from(`${"x".repeat(70)}\r\n`.repeat(500));
    let given = 0;
    async function* large(): AsyncIterable<Buffer> {
      yield Buffer.from("Subject: large\r\n\r\n");
      for (let i = 0; i < 1_000; i++) {
        given += line.length;
        yield line;
      }
    }
    const { plugins } = await loaded((app, done) => {
      app.addAnalyzerHook((_envelope, input, output) => input.pipe(output));
      app.addStreamHook(
        () => true,
        (_envelope, _node, input, ended) => input.on("end", ended).resume(),
      );
      done();
    });
    let got = 0;
    let most = 0;
    for await (const chunk of pastPlugins(large(), {} as EnvelopeView, plugins)) {
      got += chunk.length;
      most = Math.max(most, given - got);
    }
    assert.equal(got, "Subject: large\r\n\r\n".length + given);
    assert.ok(most < 2_000_000, `${most} bytes at once of ${given}`);
  });

  test("ends with what the source throws", async () => {
    async function* broken(): AsyncIterable<Buffer> {
      yield Buffer.from("Subject: x\r\n");
      throw new DomainError("incomplete-message", "gone");
    }
    const piping: PluginModule["init"] = (app, done) => {
      app.addAnalyzerHook((_envelope, input, output) => input.pipe(output));
      done();
    };
    await assert.rejects(past(piping, { source: broken() }), new DomainError("incomplete-message", "gone"));
  });

  for (const [what, init] of [
    [
      "analyzer throws",
      (app, done) => {
        app.addAnalyzerHook(() => {
          throw new Error("oops");
        });
        done();
      },
    ],
    [
      "analyzer breaks its stream",
      (app, done) => {
        app.addAnalyzerHook((_envelope, input, output) => {
          input.once("data", () => (output as Transform).destroy(new Error("oops")));
        });
        done();
      },
    ],
    [
      "filter throws",
      (app, done) => {
        app.addStreamHook(
          () => {
            throw new Error("oops");
          },
          () => undefined,
        );
        done();
      },
    ],
    [
      "rewriter rejects",
      (app, done) => {
        app.addRewriteHook(
          () => true,
          async () => {
            throw new Error("oops");
          },
        );
        done();
      },
    ],
  ] as const satisfies readonly (readonly [string, PluginModule["init"]])[])
    test(`ends with an error of the plugin when its ${what}`, async () => {
      await assert.rejects(past(init), /^PluginError: plugin it: oops/);
    });

  test("is refused when a body hook says so", async () => {
    const refusing: PluginModule["init"] = (app, done) => {
      app.addStreamHook(
        () => true,
        async (envelope) => {
          throw app.reject(envelope, "virus", undefined, "550 5.7.1 A virus");
        },
      );
      done();
    };
    await assert.rejects(past(refusing), RefusedError);
  });

  for (const [what, init] of [
    [
      "an analyzer that gives nothing",
      (app, done) => {
        app.addAnalyzerHook((_envelope, input) => input.resume());
        done();
      },
    ],
    [
      "a streamer that is never done",
      (app, done) => {
        app.addStreamHook(
          () => true,
          (_envelope, _node, input) => input.resume(),
        );
        done();
      },
    ],
    [
      "a rewriter that reads nothing",
      (app, done) => {
        app.addRewriteHook(
          () => true,
          () => undefined,
        );
        done();
      },
    ],
  ] as const satisfies readonly (readonly [string, PluginModule["init"]])[])
    test(`is not waited for any longer than a hook's time with ${what}`, async () => {
      const clock = fakeClock();
      const { plugins } = await loaded(init, { clock });
      const source = inPieces(MAIL + "x\r\n".repeat(100_000), 10_000);
      const outcome = Array.fromAsync(pastPlugins(source, {} as EnvelopeView, plugins)).then(
        () => "came through",
        (error: unknown) => String(error),
      );
      let over: string | null = null;
      void outcome.then((told) => (over = told));
      for (let i = 0; i < 50 && over === null; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        await clock.advance(RECEIVER_HOOK_MS);
      }
      assert.match(await outcome, /has not come past its body hooks/);
    });
});

describe("the MIME parser", () => {
  test("is not built for a mail that plugins see the bytes of alone", async (t) => {
    const parsed = t.mock.method(Splitter.prototype, "_transform");
    await past((app, done) => {
      app.addAnalyzerHook((_envelope, input, output) => input.pipe(output));
      app.addHook("message:queue", () => undefined);
      done();
    });
    assert.equal(parsed.mock.callCount(), 0);
    await past((app, done) => {
      app.addStreamHook(
        () => false,
        () => undefined,
      );
      done();
    });
    assert.ok(parsed.mock.callCount() > 0);
  });

  test("is not even loaded by a sender without plugins", async () => {
    const script = `
      import { createRequire } from "node:module";
      await import(${JSON.stringify(new URL("../../../sender/wire.ts", import.meta.url).href)});
      const loaded = Object.keys(createRequire(import.meta.url).cache);
      console.log(loaded.length > 0, loaded.some((file) => file.includes("mailsplit")));
      process.exit();`;
    const args = ["--input-type=module", "--eval", script];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
    assert.equal(stdout.trim(), "true false");
  });
});
