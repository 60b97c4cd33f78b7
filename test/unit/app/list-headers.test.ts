import assert from "node:assert/strict";
import { test } from "node:test";

import { listHeaders } from "#shared/app/list-headers.ts";
import type { MailFieldsInput } from "#shared/app/message-fields.ts";
import { DomainError } from "#shared/domain/errors.ts";

const printed = (list: NonNullable<MailFieldsInput["list"]>): Record<string, string> =>
  Object.fromEntries(listHeaders(list).map(({ key, value }) => [key, value.value]));

test("a URL stays, an address becomes mailto, anything else an http URL", () => {
  assert.deepEqual(printed({ help: "https://x.example/h", owner: "o@x.example", archive: "x.example/a" }), {
    "list-help": "<https://x.example/h>",
    "list-owner": "<mailto:o@x.example>",
    "list-archive": "<http://x.example/a>",
  });
});

test("several URLs of one kind are one header, in order (RFC 2369 section 3)", () => {
  const list = { unsubscribe: ["https://x.example/u", { url: "u@x.example", comment: "by (mail)" }] };
  assert.deepEqual(printed(list), {
    "list-unsubscribe": String.raw`<https://x.example/u>, <mailto:u@x.example> (by \(mail\))`,
  });
});

test("a list id has its phrase before it", () => {
  assert.deepEqual(printed({ id: { url: "news.x.example", comment: 'The "News"' } }), {
    "list-id": String.raw`"The \"News\"" <news.x.example>`,
  });
  assert.match(
    printed({ id: { url: "news.x.example", comment: "Nüws" } })["list-id"] ?? "",
    /^=\?UTF-8\?Q\?.*\?= <news/,
  );
});

test("posting may be closed, and one-click unsubscribing offered", () => {
  assert.deepEqual(printed({ post: "NO", unsubscribePost: "List-Unsubscribe=One-Click" }), {
    "list-post": "NO",
    "list-unsubscribe-post": "List-Unsubscribe=One-Click",
  });
});

test("empty and null values make no header", () => {
  assert.deepEqual(printed({ help: null, owner: "", archive: [] }), {});
});

test("what would end the URL or the header early is refused with its path", () => {
  const cases: [NonNullable<MailFieldsInput["list"]>, string][] = [
    [{ help: "https://x.example/>,<https://evil.example" }, "list.help"],
    [{ help: ["x.example", "a b"] }, "list.help[1]"],
    [{ id: "a<b" }, "list.id"],
    [{ "x: y": "x.example" }, 'list["x: y"]'],
  ];
  for (const [list, path] of cases) {
    assert.throws(
      () => listHeaders(list),
      (error) => error instanceof DomainError && error.code === "invalid-header" && error.path === path,
    );
  }
});
