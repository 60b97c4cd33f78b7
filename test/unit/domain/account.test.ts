import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { maySendAs, mayWriteAs, parseAccount, parseSender, printAccount } from "#shared/domain/account.ts";
import type { Account } from "#shared/domain/account.ts";
import { parseHeaders } from "#shared/domain/headers.ts";
import { NO_PASSWORD as passwordHash } from "#shared/domain/password.ts";
import { address } from "../../support/builders.ts";

describe("an account as text", () => {
  test("comes back as it was", () => {
    for (const senders of [null, ["one.example"], ["one.example", "anna@two.example"]]) {
      const account: Account = { passwordHash, senders };
      assert.deepEqual(parseAccount(printAccount(account)), account);
    }
  });

  test("that is no account is not read as one that may send as anybody", () => {
    for (const text of [
      "",
      "hash",
      `${passwordHash} `,
      `${passwordHash} from=`,
      `${passwordHash} from=a from=b`,
    ])
      assert.equal(parseAccount(text), null, text);
  });
});

describe("a sender of an account", () => {
  test("is a domain or an address, whatever its letters", () => {
    assert.equal(parseSender("One.Example"), "one.example");
    assert.equal(parseSender("Anna@MÜNCHEN.example"), "anna@xn--mnchen-3ya.example");
    for (const text of ["", "@one.example", "anna@", "a b", '"a,b"@one.example'])
      assert.equal(parseSender(text), null);
  });

  test("covers addresses of the domain and not of those below it", () => {
    const senders = ["one.example", "anna@two.example"];
    for (const text of ["ben@one.example", "Anna@two.example"])
      assert.equal(maySendAs(senders, address(text)), true);
    for (const text of ["ben@sub.one.example", "ben@two.example", "one.example@three.example"])
      assert.equal(maySendAs(senders, address(text)), false);
  });

  test("may be nobody, and is anybody without a limit", () => {
    assert.equal(maySendAs(["one.example"], null), true);
    assert.equal(maySendAs(null, address("ben@two.example")), true);
  });
});

describe("the From header of an account's mail", () => {
  const senders = ["one.example", "anna@two.example"];
  const mayWrite = (from: string) =>
    mayWriteAs(senders, parseHeaders(Buffer.from(`To: x@y.example\r\n${from}\r\n`)));

  test("names nobody but its senders, whoever is shown", () => {
    for (const from of [
      "From: ben@one.example\r\n",
      'From: "ceo@bank.example" <Anna@two.example>\r\n',
      'From: "The \\"boss\\" ceo@bank.example" (of ceo@bank.example) <Anna@two.example>\r\n',
      "From: ben@one.example <ben@one.example>\r\n",
      "From: @one <ben@one.example>\r\n",
      "From: Ben of One: One <ben@one.example>;\r\n",
      "From: ben@one.example,\r\n anna@two.example\r\n",
    ])
      assert.equal(mayWrite(from), true, from);
    for (const from of [
      "From: ceo@bank.example\r\n",
      "from: ben@one.example, ceo@bank.example\r\n",
      'From: "ben@one.example" <ceo@bank.example>\r\n',
      "From: Group: ben@one.example, ceo@bank.example;\r\n",
      "From: ben@sub.one.example\r\n",
      "From: <ben@one.example> <ceo@bank.example>\r\n",
      "From: ben@one.example ceo@bank.example\r\n",
      "From: ceo@bank.example <ben@one.example>\r\n",
      "From: ben@one.example, ceo@-bank-\r\n",
      'From: "Ben <ben@one.example> <ceo@bank.example>\r\n',
      "From: (Ben <ben@one.example> <ceo@bank.example>\r\n",
    ])
      assert.equal(mayWrite(from), false, from);
  });

  test("may be missing, and is refused when nobody can be read in it", () => {
    assert.equal(mayWrite(""), true);
    for (const from of ["From:\r\n", "From: the boss\r\n", `From: ${"a@one.example, ".repeat(1_000)}\r\n`])
      assert.equal(mayWrite(from), false, from.slice(0, 40));
  });

  test("is anybody's without a limit", () => {
    assert.equal(mayWriteAs(null, parseHeaders(Buffer.from("From: ceo@bank.example\r\n\r\n"))), true);
  });
});
