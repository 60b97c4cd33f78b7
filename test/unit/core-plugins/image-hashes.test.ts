import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import * as imageHashes from "#shared/core-plugins/image-hashes.ts";
import { pastPlugins } from "#shared/plugins/body-stage.ts";
import type { EnvelopeWithHeaders } from "#shared/plugins/hooks.ts";
import type { MessageInfo } from "#shared/plugins/views.ts";
import { loaded } from "../../support/plugins.ts";

const MAIL = [
  "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
  "--b\r\n\r\nhello\r\n",
  '--b\r\nContent-Type: image/png; name="a.png"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQF\r\n',
  "--b--\r\n",
].join("");

test("core/image-hashes keeps the MD5 of each attachment with the mail and logs it", async () => {
  const { plugins, lines } = await loaded(imageHashes.init);
  const envelope = { id: "m1" } as EnvelopeWithHeaders;
  const source = (async function* () {
    yield Buffer.from(MAIL);
  })();
  assert.equal(Buffer.concat(await Array.fromAsync(pastPlugins(source, envelope, plugins))).toString(), MAIL);
  const hash = createHash("md5")
    .update(Buffer.from([0, 1, 2, 3, 4, 5]))
    .digest("hex");
  assert.deepEqual(envelope["attachments"], [
    { contentType: "image/png", filename: "a.png", hash, bytes: 6 },
  ]);
  await plugins.run("message:queue", envelope, {} as MessageInfo);
  assert.match(String(lines.at(-1)?.fields["text"]), new RegExp(`md5=${hash}$`));
});
