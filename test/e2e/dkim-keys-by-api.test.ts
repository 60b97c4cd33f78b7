/** A key that is put over the API while mail is sent: its record verifies what the receiver gets. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { DkimKeyView } from "#shared/app/dkim-schemas.ts";
import { startFakeMx } from "../support/fake-mx.ts";
import { fakeDns, oneExample } from "../support/fake-dns.ts";
import { describeOverBackends } from "../support/over-backends.ts";
import { pythonLacks, runPython } from "../support/python.ts";
import { queuedId } from "../support/relay.ts";

describeOverBackends("keys that are made over the API", (startRelay) => {
  test(
    "sign mail of their domain and of those below it, RSA and Ed25519 alike",
    { skip: pythonLacks("dkim", "nacl") },
    async () => {
      await using mx = await startFakeMx();
      await using relay = await startRelay({
        dns: fakeDns(oneExample()),
        config: { zones: { default: { port: mx.port } } },
      });
      const make = async (place: string): Promise<DkimKeyView["dns"]> => {
        const answer = await fetch(`${relay.httpUrl}/dkim/${place}`, { method: "PUT" });
        const text = await answer.text();
        assert.equal(answer.status, 200, text);
        assert.doesNotMatch(text, /PRIVATE/);
        return (JSON.parse(text) as { key: DkimKeyView }).key.dns;
      };
      const rsa = await make("sender.example/r1");
      const ed = await make("sender.example/e1?algorithm=ed25519");
      await make("other.example/s");
      const sent = await fetch(`${relay.httpUrl}/send`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          from: "a@news.sender.example",
          to: "b@one.example",
          subject: "x",
          text: "hi",
        }),
      });
      const { id } = (await sent.json()) as { id: string };
      await relay.finished(queuedId(`queued as ${id}`));
      const [mail] = await mx.waitFor(1);
      const message = mail?.body ?? Buffer.alloc(0);
      const records = { [rsa.name]: rsa.value, [ed.name]: ed.value };
      const verified = runPython("verify-dkim.py", { message: message.toString("base64"), records });
      assert.deepEqual(verified, [true, true]);
    },
  );
});
