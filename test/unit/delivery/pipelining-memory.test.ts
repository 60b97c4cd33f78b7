import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { pipeliningMemory } from "../../../sender/delivery/pipelining-memory.ts";
import { answering, scriptedPeer, SILENCE } from "../../support/scripted-peer.ts";
import type { Talk } from "../../support/scripted-peer.ts";
import { inShort, send, sessionTo, timeouts } from "../../support/smtp-session.ts";

/** Says yes to the first of the commands that come together, and has lost the others. */
async function losesCommands(talk: Talk): Promise<void> {
  talk.say("220 hi");
  await talk.line();
  talk.say("250-peer\r\n250 PIPELINING");
  await talk.line();
  talk.say("250 ok");
  await talk.end();
}

const oneByOne = answering({ EHLO: "250-peer\r\n250 PIPELINING" });

describe("a host that offers PIPELINING and loses commands", () => {
  test("is spoken to one by one from then on, and takes the mail", async () => {
    const pipelining = pipeliningMemory();
    await using peer = await scriptedPeer(losesCommands, oneByOne);
    const first = await sessionTo(peer.port, {}, { pipelining, timeouts: timeouts({ rcpt: 20 }) });
    assert.deepEqual(inShort((await send(first)).outcomes), ["deferred timeout"]);
    const second = await sessionTo(peer.port, {}, { pipelining });
    assert.equal(second.capabilities.pipelining, false);
    assert.deepEqual(inShort((await send(second)).outcomes), ["delivered 250"]);
    second.quit();
  });

  test("is not every host that was silent from the first command on", async () => {
    const pipelining = pipeliningMemory();
    const silent = answering({ EHLO: "250-peer\r\n250 PIPELINING", MAIL: SILENCE });
    await using peer = await scriptedPeer(silent, oneByOne);
    const first = await sessionTo(peer.port, {}, { pipelining, timeouts: timeouts({ mail: 20 }) });
    assert.deepEqual(inShort((await send(first)).outcomes), ["deferred timeout"]);
    const second = await sessionTo(peer.port, {}, { pipelining });
    assert.equal(second.capabilities.pipelining, true);
    second.quit();
  });
});
