import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { classify } from "#shared/domain/bounce-class.ts";
import { smtpReply } from "#shared/domain/smtp-reply.ts";
import type { SmtpReply } from "#shared/domain/smtp-reply.ts";

interface ZoneMtaCase {
  name: string;
  input: string;
  expect: { action: string; category: string | null; code: number; status: string | false };
}

const zoneMta = JSON.parse(
  readFileSync(new URL("../../data/bounce-cases.json", import.meta.url), "utf8"),
) as { cases: ZoneMtaCase[] };

/** What is no SMTP reply is not classified here: its outcome has a cause of its own (see outcome.ts). */
const NOT_REPLIES = new Set([
  "not an SMTP reply at all",
  "empty",
  "category dns, text only",
  "category dns, code 500 is not >500",
]);

/** Where we judge otherwise than ZoneMTA, and why. */
const DIFFERENCES: Record<string, { action: string; category: string; why: string }> = {
  "Yahoo TSS04 is not matched by the TSnn rule": {
    action: "slowdown",
    category: "rate",
    why: "Yahoo says that we send too much; ZoneMTA's rule misses the newer spelling of the code",
  },
  "5.7.1 generic": {
    action: "reject",
    category: "config",
    why: "a server that does not relay is not the recipient's: its MX is wrong, nobody blocked the sender",
  },
  "5.1.1 without keyword = envelope": {
    action: "reject",
    category: "recipient",
    why: "5.1.1 is a mailbox that does not exist, whatever the words are",
  },
  "553 bare": {
    action: "reject",
    category: "sender",
    why: "the text names the envelope sender",
  },
  "Orange too many connections": {
    action: "slowdown",
    category: "rate",
    why: "the text asks to slow down; nothing is full",
  },
  "auth required": {
    action: "defer",
    category: "policy",
    why: "TLS is used wherever it is offered, so it failed just now and may work at the next attempt",
  },
  "4.3.2 receiving system down": {
    action: "defer",
    category: "network",
    why: "a system that is down says nothing of the recipient",
  },
};

function replyOf(text: string): SmtpReply {
  const lines = text.trim().split(/\r?\n/);
  return smtpReply(
    Number(text.trim().slice(0, 3)),
    lines.map((line) => line.replace(/^\d{3}[ -]?/, "")),
  );
}

const verdict = (text: string) => {
  const { action, category, status } = classify(replyOf(text));
  return `${action} ${category} ${status}`;
};

describe("the replies that ZoneMTA judges", () => {
  for (const { name, input, expect } of zoneMta.cases) {
    if (NOT_REPLIES.has(name)) continue;
    const difference = DIFFERENCES[name];
    test(difference ? `${name}: otherwise, since ${difference.why}` : `${name}: the same`, () => {
      const { action, category } = classify(replyOf(input));
      assert.deepEqual(
        { action, category },
        {
          action: difference?.action ?? expect.action,
          category: difference?.category ?? expect.category,
        },
      );
    });
  }

  test("hold every difference that is written down", () => {
    const names = new Map(zoneMta.cases.map((one) => [one.name, one.expect]));
    for (const [name, { action, category }] of Object.entries(DIFFERENCES)) {
      assert.ok(names.has(name), name);
      assert.notDeepEqual([action, category], [names.get(name)?.action, names.get(name)?.category], name);
    }
  });
});

/** In the words of the peer's software; the addresses are ours. */
const replies: Record<string, [text: string, expected: string][]> = {
  Gmail: [
    ["550-5.7.26 This mail has been blocked because the sender is unauthenticated.", "reject auth 5.7.26"],
    [
      "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP",
      "slowdown rate 4.7.28",
    ],
    [
      "550-5.7.1 [192.0.2.1] Gmail has detected that this message is likely unsolicited mail.",
      "reject spam 5.7.1",
    ],
    ["550-5.7.1 suspicious due to the very low reputation of the sending domain.", "reject spam 5.7.1"],
    [
      "550-5.7.1 suspicious due to the very low reputation of the sending IP address.",
      "defer blacklist 4.7.1",
    ],
    ["452-4.2.2 The recipient's inbox is out of storage space. p=OverQuotaTemp", "defer capacity 4.2.2"],
    ["552-5.2.2 The recipient's inbox is out of storage space and inactive.", "reject capacity 5.2.2"],
    ["550-5.2.1 The email account that you tried to reach is inactive.", "reject recipient 5.2.1"],
    ["550-5.2.1 The user you are trying to contact is receiving mail at a rate that", "slowdown rate 4.2.1"],
    ["550-5.7.1 Messages missing a valid Message-ID header are not accepted.", "reject message 5.7.1"],
    ["550-5.7.25 The IP address sending this message does not have a PTR record", "reject config 5.7.25"],
  ],
  Microsoft: [
    ["550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", "reject recipient 5.5.0"],
    [
      "550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found by SMTP address lookup",
      "reject recipient 5.1.10",
    ],
    ["550 5.7.606 Access denied, banned sending IP [192.0.2.1].", "defer blacklist 4.7.606"],
    [
      "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
      "slowdown rate 4.7.650",
    ],
    ["451 4.7.500 Server busy. Please try again later from [192.0.2.1].", "slowdown rate 4.7.500"],
    ["550 5.7.509 Access denied, sending domain x does not pass DMARC verification", "reject dmarc 5.7.509"],
    [
      "550 5.7.515 Access denied, sending domain x doesn't meet the required authentication level.",
      "reject auth 5.7.515",
    ],
    [
      "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required",
      "reject block 5.7.133",
    ],
    ["554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException", "reject capacity 5.2.2"],
    ["550 5.7.64 TenantAttribution; Relay Access Denied", "reject config 5.7.64"],
  ],
  "Yahoo and AOL": [
    [
      "421 4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume or user complaints",
      "slowdown rate 4.7.0",
    ],
    ["421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred", "defer blacklist 4.7.1"],
    [
      "553 5.7.1 [BL21] Connections will not be accepted, because the ip is in Spamhaus's list",
      "defer blacklist 4.7.1",
    ],
    [
      "554 delivery error: dd This user doesn't have a yahoo.com account (x@yahoo.com) [-5]",
      "reject recipient 5.1.1",
    ],
  ],
  "other providers": [
    ["554-No SMTP service", "defer blacklist 4.7.1"],
    [
      "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact tosa@rx.t-online.de",
      "defer blacklist 4.7.1",
    ],
    [
      "421 Trop de connexions, veuillez verifier votre configuration. OFR004_104 [104]",
      "slowdown rate 4.7.1",
    ],
    [
      "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR204_416",
      "reject recipient 5.1.1",
    ],
    [
      "550 spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c=x",
      "reject spam 5.7.1",
    ],
    ["554 5.7.1 [1] Message rejected under suspicion of SPAM", "reject spam 5.7.1"],
    ["550 Ip frequency limited. http://service.mail.qq.com", "slowdown rate 4.7.1"],
    ["550 Mailbox not found or access denied", "reject recipient 5.1.1"],
    ["550-5.7.1 [CS01] Message rejected due to local policy.", "reject policy 5.7.1"],
  ],
  appliances: [
    ["554 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", "defer blacklist 4.7.0"],
    [
      "550 Rejected by header based manually blocked senders - https://community.mimecast.com/",
      "reject block 5.7.1",
    ],
    [
      "550 Administrative prohibition - envelope blocked - https://community.mimecast.com/",
      "reject block 5.7.1",
    ],
    [
      "554 Service unavailable; Client host [192.0.2.1] blocked using Barracuda Reputation",
      "defer blacklist 4.7.1",
    ],
    [
      "554 Your access to this mail system has been rejected due to the sending MTA's poor reputation.",
      "defer blacklist 4.7.1",
    ],
    ["550 #5.1.0 Address rejected.", "reject envelope 5.1.0"],
  ],
  "mail servers": [
    [
      "550 5.1.1 <x@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
      "reject recipient 5.1.1",
    ],
    ["450 4.1.1 <x@example.com>: Recipient address rejected: unverified address", "defer recipient 4.1.1"],
    ["450 4.1.8 <x@nope.example>: Sender address rejected: Domain not found", "defer sender 4.1.8"],
    ["454 4.7.1 <x@example.com>: Relay access denied", "defer config 4.7.1"],
    ["554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied", "defer blacklist 4.7.1"],
    ["450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]", "defer config 4.7.25"],
    ["504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", "reject config 5.5.2"],
    ["550 Unrouteable address", "reject recipient 5.1.1"],
    ["550 sorry, no mailbox here by that name. (#5.1.1)", "reject recipient 5.1.1"],
    ["553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", "reject config 5.7.1"],
    ["452 4.3.1 Insufficient system storage", "defer capacity 4.3.1"],
    ["552 5.3.4 Message size exceeds fixed limit", "reject message 5.3.4"],
    ["554 5.4.6 Too many hops 26 (25 max)", "reject network 5.4.6"],
    ["452 4.5.3 Too many recipients", "defer protocol 4.5.3"],
    ["552 Too many recipients", "defer protocol 4.5.3"],
    ["535 5.7.8 Authentication credentials invalid", "reject auth 5.7.8"],
    ["556 5.1.10 Domain does not accept mail", "reject recipient 5.1.10"],
  ],
};

for (const [peer, cases] of Object.entries(replies)) {
  describe(`replies of ${peer}`, () => {
    for (const [text, expected] of cases) {
      test(`${text}: ${expected}`, () => {
        assert.equal(verdict(text), expected);
      });
    }
  });
}

describe("a full mailbox", () => {
  test("is tried again while the peer says that it is full now, and given up when it says for good", () => {
    for (const text of ["452 4.2.2 Mailbox full", "452 over quota", "450 4.2.2 x", "422 mailbox is full"]) {
      assert.match(verdict(text), /^defer capacity 4\.2\.2$/, text);
    }
    for (const text of ["552 5.2.2 Mailbox full", "552 over quota", "550 5.2.2 x"]) {
      assert.match(verdict(text), /^reject capacity 5\.2\.2$/, text);
    }
  });
});

describe("an enhanced code", () => {
  test("decides where the text is vague", () => {
    assert.equal(verdict("550 5.1.1 Access denied"), "reject recipient 5.1.1");
    assert.equal(verdict("550 5.7.1 Access denied"), "reject block 5.7.1");
    assert.equal(verdict("550 5.2.2 Rejected"), "reject capacity 5.2.2");
  });

  test("is outweighed by a clear text", () => {
    assert.equal(verdict("550 5.7.1 User unknown"), "reject recipient 5.7.1");
    assert.equal(verdict("550 5.1.1 Greylisted, try again"), "defer greylist 4.1.1");
  });

  test("that says nothing is replaced in the status by what the text says", () => {
    assert.equal(verdict("550 5.0.0 User unknown"), "reject recipient 5.1.1");
  });
});

describe("a 5yz reply that speaks of time", () => {
  test("is believed in that, and the retry ladder ends it if time did not help", () => {
    for (const text of [
      "554 5.2.0 mailbox is locked by another process",
      "550 5.2.1 Mailbox temporarily disabled",
      "550 5.3.0 Our mail store is offline for the moment",
      "550 5.7.0 Servizio temporaneamente non disponibile, riprovare più tardi",
    ]) {
      assert.match(verdict(text), /^defer /, text);
    }
  });

  test("names that as the rule where another would have rejected", () => {
    assert.equal(classify(replyOf("550 5.2.1 Mailbox temporarily disabled")).rule, "for-now");
    assert.equal(classify(replyOf("450 4.2.1 Mailbox temporarily disabled")).rule, "mailbox-disabled");
  });

  test("is a reject all the same where the mail is what is wrong, or the peer has given up", () => {
    assert.match(verdict("550 5.7.1 Spam message rejected, try again later"), /^reject spam/);
    assert.match(
      verdict("550 5.4.300 Message expired -> 451 4.7.0 Please try again later"),
      /^reject network/,
    );
    assert.match(verdict("550 5.1.1 User unknown, correct the address and try again"), /^reject recipient/);
  });
});

describe("a refusal of our host", () => {
  test("is known in the words of many languages, whatever the enhanced code is", () => {
    for (const text of [
      "521 5.2.1 Your host [192.0.2.1] is not welcome here",
      "550 5.7.1 Connections not accepted from [2001:db8::1]",
      "554 5.7.1 Ihre IP-Adresse 192.0.2.1 ist bei uns gesperrt",
      "550 5.7.1 Votre adresse IP 192.0.2.1 est bloquee",
      "550 5.7.1 Il vostro server è stato bloccato per spam",
      "550 5.7.1 Ваш сервер заблокирован",
    ]) {
      assert.match(verdict(text), /^defer blacklist /, text);
    }
  });

  test("is not made of a refusal of the mail that names our host as well", () => {
    assert.match(verdict("550 5.1.1 Mail from your server: no such user"), /^reject recipient /);
    assert.match(verdict("550 5.7.1 Message from 192.0.2.1 rejected: spam content"), /^reject spam /);
    assert.match(verdict("550 5.7.1 Your server is not permitted to relay"), /^reject config /);
    assert.match(verdict("550 5.7.26 Mail from your server fails DMARC"), /^reject dmarc /);
  });
});

describe("every line of a reply is read", () => {
  test("so that a reason in the last one counts", () => {
    const text = "554-mail.example\r\n554-Sorry for the trouble.\r\n554 The mailbox is full.";
    assert.equal(verdict(text), "reject capacity 5.2.2");
  });
});

describe("what a reply quotes of the mail", () => {
  test("does not make it spam, full or blacklisted", () => {
    for (const local of ["spam", "virus", "blacklist", "quota", "greylist", "full"]) {
      assert.equal(
        verdict(`550 5.1.1 <${local}@${local}.example>: User unknown`),
        "reject recipient 5.1.1",
        local,
      );
      assert.equal(verdict(`550 5.1.1 ${local}@example.com`), "reject recipient 5.1.1", local);
    }
  });
});

describe("what is no refusal", () => {
  test("defers", () => {
    assert.equal(verdict("250 2.0.0 fine"), "defer protocol 4.5.0");
    assert.equal(verdict("354 go on"), "defer protocol 4.5.0");
  });
});
