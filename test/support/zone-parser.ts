/** Reads master files (RFC 1035 §5.1) by the letter of the RFC, without knowing our writer: comments, quotes, escapes, character strings. */

import assert from "node:assert/strict";

export interface ParsedRecord {
  /** As written, which must be absolute. */
  readonly name: string;
  readonly ttl: number;
  readonly type: string;
  /** Fields of the data; of TXT the strings, one character for each byte. */
  readonly data: readonly string[];
}

export function parseZoneFile(text: string): ParsedRecord[] {
  return text.split("\n").flatMap((line, i) => {
    const tokens = tokensOf(line, i + 1);
    if (tokens.length === 0) return [];
    const [name = "", ttl = "", dnsClass, type = "", ...data] = tokens;
    assert.match(name, /\.$/, `line ${i + 1}: the name is relative`);
    assert.match(ttl, /^\d+$/, `line ${i + 1}: no TTL`);
    assert.equal(dnsClass, "IN", `line ${i + 1}: no class`);
    assert.match(type, /^[A-Z]+$/, `line ${i + 1}: no type`);
    assert.ok(data.length > 0, `line ${i + 1}: no data`);
    if (type === "TXT")
      for (const string of data) assert.ok(string.length <= 255, `line ${i + 1}: a long string`);
    return [{ name, ttl: Number(ttl), type, data }];
  });
}

function tokensOf(line: string, number: number): string[] {
  const tokens: string[] = [];
  let at = 0;
  while (at < line.length) {
    const char = line[at];
    if (char === " " || char === "\t") at++;
    else if (char === ";") break;
    else {
      const isQuoted = char === '"';
      if (isQuoted) at++;
      let token = "";
      while (at < line.length && (isQuoted ? line[at] !== '"' : !/[ \t;"]/.test(line[at] as string))) {
        if (line[at] !== "\\") token += line[at++];
        else if (/^\d{3}/.test(line.slice(at + 1))) {
          token += String.fromCharCode(Number(line.slice(at + 1, at + 4)));
          at += 4;
        } else {
          token += line[at + 1];
          at += 2;
        }
      }
      if (isQuoted) assert.equal(line[at++], '"', `line ${number}: a quote does not end`);
      tokens.push(token);
    }
  }
  return tokens;
}
