/** One transaction with a peer that answers as the test says. */

import { answering, scriptedPeer } from "./scripted-peer.ts";
import type { Answers } from "./scripted-peer.ts";
import { inShort, send, sessionTo } from "./smtp-session.ts";
import type { Mail } from "./smtp-session.ts";

/** One mail to a peer that gives these answers, on a session of its own. */
export async function sendOne(
  answers: Answers,
  mail: Mail = {},
  options: Parameters<typeof sessionTo>[2] = {},
) {
  await using peer = await scriptedPeer(answering(answers));
  const session = await sessionTo(peer.port, {}, options);
  const result = await send(session, mail);
  const { usable } = session;
  session.quit();
  await peer.talks[0]?.end();
  return { ...result, usable, short: inShort(result.outcomes), peer };
}
