/** What the operator's directory says of a sender, or the reply that MAIL is refused with. */

import type { SenderFacts, SenderSettings } from "#shared/ports/sender-directory.ts";
import type { FeederContext } from "./context.ts";
import type { Reply } from "./reply.ts";

export type ToldSettings =
  | { readonly ok: true; readonly settings: SenderSettings | null }
  | { readonly ok: false; readonly reply: Reply };

const UNKNOWN: Reply = { code: 451, text: "4.3.0 Cannot look up the sender now, try again later" };
const ENHANCED = /^[45]\.\d{1,3}\.\d{1,3} /;

/** Never rejects. `fields` are for the log. */
export async function settingsFor(
  sender: SenderFacts,
  { senders, log }: Pick<FeederContext, "senders" | "log">,
  fields: Readonly<Record<string, unknown>>,
): Promise<ToldSettings> {
  if (senders === null) return { ok: true, settings: null };
  const about = { ...fields, returnPath: sender.returnPath };
  try {
    const answer = await senders.lookUp(sender);
    if (answer.kind === "settings") return { ok: true, settings: answer.settings };
    const { code, text } = answer;
    log.info({ ...about, code, reason: text }, "sender refused by the operator's directory");
    return {
      ok: false,
      reply: { code, text: ENHANCED.test(text) ? text : `${code < 500 ? 4 : 5}.7.1 ${text}` },
    };
  } catch (error) {
    log.error({ ...about, err: error }, "sender could not be looked up");
    return { ok: false, reply: UNKNOWN };
  }
}
