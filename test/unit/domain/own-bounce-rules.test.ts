import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { classify } from "#shared/domain/bounce-class.ts";
import { classifierWith, MAX_OWN_RULES } from "#shared/domain/own-bounce-rules.ts";
import type { OwnBounceRule } from "#shared/domain/own-bounce-rules.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";

const rule = (fields: Partial<OwnBounceRule>): OwnBounceRule => ({
  id: "own",
  pattern: null,
  codes: null,
  enhanced: null,
  action: "defer",
  category: "policy",
  message: "ours",
  status: null,
  ...fields,
});
const reply = (text: string) => smtpReply(Number(text.slice(0, 3)), [text.slice(4)]);
const verdict = (rules: readonly OwnBounceRule[], text: string) => classifierWith(rules)(reply(text));

describe("own rules", () => {
  test("are asked before ours, in their order, and ours where none holds", () => {
    const rules = [
      rule({ id: "first", pattern: "no such user.*soon", action: "defer" }),
      rule({ id: "second", pattern: "no such user", action: "slowdown" }),
    ];
    assert.equal(verdict(rules, "550 5.1.1 No such user; try SOON").rule, "first");
    assert.equal(verdict(rules, "550 5.1.1 No such user").rule, "second");
    assert.deepEqual(verdict(rules, "552 5.2.2 Mailbox full"), classify(reply("552 5.2.2 Mailbox full")));
  });

  test("see the reply as it is printed, with code and status, its lines joined", () => {
    const rules = [rule({ pattern: "^550 5\\.7\\.1 one two$" })];
    assert.equal(classifierWith(rules)(smtpReply(550, ["5.7.1 one", "5.7.1 two"])).rule, "own");
    assert.notEqual(verdict(rules, "550 5.7.1 one two three").rule, "own");
  });

  test("hold only when all their conditions do", () => {
    const rules = [rule({ pattern: "later", codes: [450, 451], enhanced: ["4.7.1"] })];
    assert.equal(verdict(rules, "451 4.7.1 later").rule, "own");
    for (const text of ["452 4.7.1 later", "451 4.7.0 later", "451 4.7.1 now", "451 later"])
      assert.notEqual(verdict(rules, text).rule, "own", text);
  });

  test("do what is written, also where ours would not: a reject of a 4yz, a retry of a 5yz", () => {
    const rejecting = verdict([rule({ codes: [451], action: "reject" })], "451 4.3.0 x");
    assert.deepEqual([rejecting.action, rejecting.status], ["reject", "5.3.0"]);
    const retrying = verdict([rule({ codes: [550], action: "defer" })], "550 5.1.1 x");
    assert.deepEqual([retrying.action, retrying.status], ["defer", "4.1.1"]);
  });

  test("give the DSN the reply's own status, else theirs, else ours", () => {
    const rules = [rule({ codes: [550], action: "reject", status: "7.9" })];
    assert.equal(verdict(rules, "550 5.1.1 x").status, "5.1.1");
    assert.equal(verdict(rules, "550 x").status, "5.7.9");
    assert.equal(verdict([rule({ codes: [550], action: "reject" })], "550 mailbox full").status, "5.2.2");
  });

  test("as many as there may be cost a reply little", () => {
    const many = Array.from({ length: MAX_OWN_RULES }, (_, i) =>
      rule({ id: `own-${i}`, pattern: `reason ${i} .* for .* code` }),
    );
    const judge = classifierWith(many);
    assert.equal(judge(reply("550 reason 1999 given for the code")).rule, "own-1999");
    assert.equal(judge(reply(`550 ${"reason 7 for ".repeat(90)}`)).rule, "code-refused");
  });
});
