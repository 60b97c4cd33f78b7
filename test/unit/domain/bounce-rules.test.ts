/** What holds of all rules together, and of any reply. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import { BOUNCE_RULES, classify } from "#shared/domain/bounce-class.ts";
import { BOUNCE_CATEGORIES } from "#shared/domain/bounce-rule.ts";
import { examplesOf } from "#shared/domain/phrases.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";

describe("for any reply at all", () => {
  const words = BOUNCE_RULES.flatMap((rule) => rule.says ?? []).flatMap(examplesOf);
  const texts = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...words), { maxLength: 4 }).map((parts) => parts.join(" ")),
  );
  const codes = fc.oneof(
    fc.integer({ min: 400, max: 599 }),
    fc.constantFrom(421, 450, 451, 452, 550, 552, 554),
  );
  const details = fc.constantFrom("", "X.1.1 ", "X.2.2 ", "X.7.1 ", "X.0.0 ", "X.7.650 ");
  const anyReply = fc
    .tuple(codes, details, texts)
    .map(([code, detail, text]) =>
      smtpReply(code, [detail.replace("X", String(Math.trunc(code / 100))) + text]),
    );

  test("a 4yz is never a reject, and the status is of the action's class", () => {
    fc.assert(
      fc.property(anyReply, (reply) => {
        const { action, category, status } = classify(reply);
        if (reply.code < 500) assert.notEqual(action, "reject");
        assert.match(status, action === "reject" ? /^5\.\d+\.\d+$/ : /^4\.\d+\.\d+$/);
        assert.ok(BOUNCE_CATEGORIES.includes(category));
      }),
      { numRuns: 2_000 },
    );
  });

  test("a 5yz without a word about time, pace or our address is a reject", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 500, max: 599 }),
        fc.string({ unit: fc.constantFrom("q", "z", " "), maxLength: 30 }),
        (code, text) => {
          if (code !== 530 && code !== 538) assert.equal(classify(smtpReply(code, [text])).action, "reject");
        },
      ),
    );
  });
});

describe("the rules", () => {
  test("have unique ids and a status each", () => {
    const ids = BOUNCE_RULES.map((rule) => rule.id);
    assert.equal(new Set(ids).size, ids.length);
    for (const rule of BOUNCE_RULES) assert.match(rule.status, /^\d{1,3}\.\d{1,3}$/, rule.id);
  });

  test("cover all of ZoneMTA's categories", () => {
    const used = new Set(BOUNCE_RULES.map((rule) => rule.category));
    const missing = BOUNCE_CATEGORIES.filter((category) => !used.has(category));
    assert.deepEqual(missing, ["dns"], "which is of failures without a reply");
  });

  test("can each decide a reply", () => {
    for (const { id, enhanced, codes } of BOUNCE_RULES.filter((rule) => !rule.says)) {
      const decided = (codes ?? [550, 450]).map((code) => {
        const detail = enhanced ? `${Math.trunc(code / 100)}.${enhanced[0]} qz` : "qz";
        return classify(smtpReply(code, [detail])).rule;
      });
      assert.ok(decided.includes(id), `${id} never decides, but ${decided[0]}`);
    }
  });

  test("have no phrase that an earlier rule takes", () => {
    for (const { id, says, codes = [550], enhanced } of BOUNCE_RULES) {
      const status = enhanced === undefined ? "" : `5.${enhanced[0]} `;
      for (const phrase of says ?? []) {
        for (const text of examplesOf(phrase)) {
          assert.equal(classify(smtpReply(codes[0] ?? 550, [status + text])).rule, id, text);
        }
      }
    }
  });
});
