/** What becomes of a mail by each way in which a hook of its delivery may end. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import type { QueueRow } from "#shared/domain/queue-row.ts";
import { patient } from "../support/patience.ts";
import { relayWith, send, untilTried, USUAL_ENDS } from "../support/plugin-relay.ts";

/** The recipient says what the hook does to his mail. */
const FATES = `
  const hung = () => new Promise(() => undefined);
  function fate(app, delivery, next) {
    switch (delivery.recipient.split("@")[0]) {
      case "reject": return next(app.reject(delivery, "no", undefined, "550 5.7.1 Listed, blocked using bl.example"));
      case "later": return next(app.reject(delivery, "no", undefined, "451 4.7.1 Not now"));
      case "code": return next(Object.assign(new Error("Not him"), { responseCode: 554 }));
      case "drop": return next(app.drop(delivery, "seen before"));
      ${USUAL_ENDS}
    }
  }`;

const EXPECTED: Readonly<Record<string, readonly [state: string, detail: RegExp]>> = {
  reject: ["bounced", /^550 5\.7\.1 Listed, blocked using bl\.example$/],
  later: ["deferred", /^451 4\.7\.1 Not now$/],
  code: ["bounced", /^554 5\.7\.1 Not him$/],
  drop: ["dropped", /^dropped by a plugin: seen before$/],
  throws: ["deferred", /^plugin it: oops$/],
  "next-error": ["deferred", /^plugin it: oops$/],
  hangs: [
    "deferred",
    /^plugin it: its hook .* has not come to its end in 150 ms; it names an argument for next, and has not called it$/,
  ],
  twice: ["delivered", /^250 /],
  usual: ["delivered", /^250 /],
};

function inShort(row: QueueRow): string {
  const [state, detail] = EXPECTED[row.recipient.split("@")[0] as string] as readonly [string, RegExp];
  const said = row.lastAttempt?.detail ?? "";
  return row.state === state && detail.test(said) ? "as it should be" : `${row.state}: ${said}`;
}

describe("a hook of a delivery", { timeout: patient(60_000) }, () => {
  const hooks = {
    "sender:fetch": "(delivery, next)",
    "sender:connect": "(delivery, options, next)",
    "sender:headers": "(delivery, connection, next)",
  };
  for (const [hook, parameters] of Object.entries(hooks)) {
    test(`${hook} ends it as it says, and a fault of the plugin makes it wait`, async () => {
      await using it = await relayWith(
        `${FATES}
        const heard = [];
        export async function init(app) {
          app.addHook("${hook}", ${parameters} => fate(app, delivery, next));
          app.addHook("log:entry", async (entry) => { if (entry.action === "DROP") heard.push(entry.recipient); });
          app.addAPI("get", "/heard", async () => heard);
        }`,
        { options: { hookTimeout: 150 } },
      );
      const to = Object.keys(EXPECTED).map((name) => `${name}@one.example`);
      const id = await send(it.relay, { to });
      const { rows } = await untilTried(it.relay, id);
      assert.deepEqual(
        rows.map((row) => [row.recipient, inShort(row)]),
        to.map((recipient) => [recipient, "as it should be"]),
      );
      const heard = await (await fetch(`${it.relay.httpUrl}/plugin/it/heard`)).json();
      assert.deepEqual(heard, ["drop@one.example"]);
      const { mails } = it.mx;
      assert.deepEqual(
        mails
          .map(({ recipients }) => recipients.join())
          .filter((recipient) => recipient.endsWith("@one.example"))
          .toSorted(),
        ["twice@one.example", "usual@one.example"],
      );
    });
  }
});

describe("a hook whose errors change nothing", { timeout: patient(60_000) }, () => {
  const quiet = [
    "sender:connecting",
    "sender:connected",
    "sender:connection",
    "sender:delivered",
    "sender:responseError",
    "queue:release",
    "queue:bounce",
    "log:entry",
  ];
  const faults = {
    throws: "() => { throw new Error('oops'); }",
    rejects: "async () => { throw Object.assign(new Error('no'), { responseCode: 550 }); }",
    drops: "(delivery, ...rest) => rest.at(-1)(app.drop(delivery, 'no'))",
    hangs: "() => new Promise(() => undefined)",
  };
  for (const [what, handler] of Object.entries(faults)) {
    test(`may do what it likes: it ${what}`, async () => {
      await using it = await relayWith(
        `export async function init(app) {
          for (const name of ${JSON.stringify(quiet)}) app.addHook(name, ${handler});
        }`,
        { options: { hookTimeout: 150 } },
      );
      const id = await send(it.relay, { to: ["you@one.example", "550-rcpt@one.example"] });
      const { rows } = await it.relay.finished(id);
      assert.deepEqual(
        rows.map(({ state }) => state),
        ["delivered", "bounced"],
      );
    });
  }
});
