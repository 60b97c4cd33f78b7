import assert from "node:assert/strict";
import { describe, test } from "node:test";

import fc from "fast-check";

import {
  addressFault,
  domainOf,
  ipOfLiteral,
  localPartOf,
  needsSmtputf8,
  parseAddress,
  parseDomain,
} from "#shared/domain/address.ts";
import type { Address, Domain } from "#shared/domain/address.ts";

const longLabel = (length: number) => "a".repeat(length);

test("what is wrong with what is no address can be said", () => {
  const faults: [string, string][] = [
    ["anna", "it has no @ and domain"],
    ["", "it has no @ and domain"],
    ["@x.example", "nothing is before the @"],
    ["a b@x.example", "before the @ is a character that takes quotes, or a dot too many"],
    [".a@x.example", "before the @ is a character that takes quotes, or a dot too many"],
    [`${longLabel(65)}@x.example`, "more than 64 octets are before the @"],
    ["a@x..example", "behind the @ is no domain name"],
    ["a@127.0.0.1", "behind the @ is no domain name"],
    [`${longLabel(64)}@${`${longLabel(60)}.`.repeat(3)}example`, "it has more than 254 octets"],
    [`${longLabel(2_000)}@x.example`, "it is too long"],
  ];
  for (const [text, fault] of faults) {
    assert.equal(parseAddress(text), null, text);
    assert.equal(addressFault(text), fault, text);
  }
});

describe("a mail address", () => {
  const normal: [string, string][] = [
    ["User.Name@Example.COM", "User.Name@example.com"],
    ["a@example.com.", "a@example.com"],
    ["safe@jõgeva.ee", "safe@xn--jgeva-dua.ee"],
    ["a@faß.de", "a@xn--fa-hia.de"],
    ["jõgeva@xn--jgeva-dua.ee", "jõgeva@xn--jgeva-dua.ee"],
    ["a@example。com", "a@example.com"],
    ["a@XN--JGEVA-DUA.ee", "a@xn--jgeva-dua.ee"],
    ["o\u0308@x.example", "\u00f6@x.example"],
    ["a@mail_host.example", "a@mail_host.example"],
    ['"needless"@x.example', "needless@x.example"],
    [String.raw`"need\less"@x.example`, "needless@x.example"],
    ['"a b"@x.example', '"a b"@x.example'],
    ['"a@b"@x.example', '"a@b"@x.example'],
    [String.raw`"a\"b\\c"@x.example`, String.raw`"a\"b\\c"@x.example`],
    ['"a..b"@x.example', '"a..b"@x.example'],
    ["a@[192.0.2.1]", "a@[192.0.2.1]"],
    ["a@[IPv6:2001:DB8:0:0::1]", "a@[ipv6:2001:db8::1]"],
    ["a@[ipv6:::ffff:192.0.2.1]", "a@[192.0.2.1]"],
    [`a@${longLabel(63)}.example`, `a@${longLabel(63)}.example`],
    [`${longLabel(64)}@x.example`, `${longLabel(64)}@x.example`],
  ];
  for (const [text, address] of normal) {
    test(`${JSON.stringify(text)} is kept as ${address}`, () => {
      assert.equal(parseAddress(text), address);
    });
  }

  const refused: Record<string, string[]> = {
    "no mailbox at all": ["", "@", "a", "@x.example", "a@", "a@.", "a@..", "a@b@x.example"],
    "a wrong local part": [
      ".a@x.example",
      "a.@x.example",
      "a..b@x.example",
      "a b@x.example",
      'a"b@x.example',
      '"a@x.example',
    ],
    "an escape at the end of a quoted local part": [String.raw`"a\"@x.example`],
    "a wrong domain": [
      "a@-x.example",
      "a@x-.example",
      "a@x..example",
      "a@x;y",
      "a@x y.example",
      "a@x/y",
      "a@%61.example",
    ],
    "an A-label that stands for no name": ["a@xn--a.example", "a@xn--zzzz.example", "a@xn--.example"],
    "an IP address without brackets": [
      "a@192.0.2.1",
      "a@0127.0.0.1",
      "a@127.1",
      "a@0x7f.1",
      "a@2130706433",
      "a@１２７.0.0.1",
    ],
    "a literal that programs read differently": [
      "a@[0127.0.0.1]",
      "a@[127.1]",
      "a@[127.0.0.1",
      "a@[::1]",
      "a@[ipv6:127.0.0.1]",
    ],
    "a literal with a network interface": ["a@[IPv6:fe80::1%eth0]"],
    "controls and line ends": [
      "a\r\n@x.example",
      "a@x.example\n",
      "a\0@x.example",
      '"a\nb"@x.example',
      '"a\u2028b"@x.example',
    ],
    "half a character": ["a\ud800@x.example", '"a \ud800"@x.example'],
    "what is too long": [
      `${longLabel(65)}@x.example`,
      `${"é".repeat(33)}@x.example`,
      `a@${longLabel(64)}.example`,
      `a@${`${longLabel(49)}.`.repeat(5)}example`,
      `a@${"\u00ad".repeat(2_000)}x.example`,
    ],
  };
  for (const [what, texts] of Object.entries(refused)) {
    test(`${what} is refused`, () => {
      for (const text of texts) assert.equal(parseAddress(text), null, JSON.stringify(text));
    });
  }

  test("is taken apart into what it was made of", () => {
    const address = parseAddress('"a@b"@Example.com') as Address;
    assert.equal(localPartOf(address), '"a@b"');
    assert.equal(domainOf(address), "example.com");
  });

  test("read again it is the same, whatever was written first", () => {
    const text = fc.oneof(
      fc.emailAddress(),
      fc.string({ unit: "binary", maxLength: 80 }).map((local) => `${local}@x.example`),
    );
    fc.assert(
      fc.property(text, (input) => {
        const once = parseAddress(input);
        if (once !== null) assert.equal(parseAddress(once), once);
      }),
    );
  });

  test("never holds what would end a line or an SMTP argument", () => {
    const local = fc.string({
      unit: fc.constantFrom(...'ab\r\n\0\t>< "\\\u2028\u0085é.'.split("")),
      maxLength: 12,
    });
    fc.assert(
      fc.property(local, local, (a, b) => {
        const address = parseAddress(`${a}@${b}`) ?? parseAddress(`"${a}"@x.example`);
        if (address !== null) assert.doesNotMatch(address, /[\r\n\0\t\u2028\u0085]/);
      }),
      { numRuns: 2_000 },
    );
  });

  test("wants SMTPUTF8 only for its local part", () => {
    assert.equal(needsSmtputf8(parseAddress("a@jõgeva.ee") as Address), false);
    assert.equal(needsSmtputf8(parseAddress("õ@jogeva.ee") as Address), true);
  });
});

describe("a domain", () => {
  test("is a name or a literal, and ipOfLiteral tells which", () => {
    assert.equal(ipOfLiteral(parseDomain("example.com") as Domain), null);
    assert.equal(ipOfLiteral(parseDomain("[192.0.2.1]") as Domain), "192.0.2.1");
    assert.equal(ipOfLiteral(parseDomain("[IPv6:2001:db8::1]") as Domain), "2001:db8::1");
  });

  test("may have 253 characters and not one more", () => {
    const name = `${`${longLabel(61)}.`.repeat(4)}abcde`;
    assert.equal(name.length, 253);
    assert.equal(parseDomain(name), name);
    assert.equal(parseDomain(`${name}f`), null);
  });
});
