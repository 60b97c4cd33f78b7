/** The headers of a stored message as an operator sees them, in ZoneMTA's shape. */

import type { HeaderList } from "../domain/headers.ts";
import { addressesOf, firstValue, parseHeaders } from "../domain/headers.ts";
import type { Message } from "../domain/message.ts";
import type { BodyStore } from "../ports/body-store.ts";

/**
 * All null: the content is not kept any more, or its store does not answer. What became of a mail can be seen nevertheless, so a store
 * that fails is no reason to show nothing.
 */
export async function storedHeaders(bodies: BodyStore, message: Message) {
  const headers = await read(bodies, message).catch(() => null);
  if (!headers) return { headers: null, parsedEnvelope: null, date: null };
  return {
    headers: headers.map(({ key, line }) => ({ key, line: textOf(line) })),
    parsedEnvelope: {
      from: addressesOf(headers, ["from"])[0] ?? false,
      to: addressesOf(headers, ["to"]),
      cc: addressesOf(headers, ["cc"]),
      bcc: addressesOf(headers, ["bcc"]),
      replyTo: addressesOf(headers, ["reply-to"])[0] ?? false,
      sender: addressesOf(headers, ["sender"])[0] ?? false,
    },
    date: firstValue(headers, "date"),
  };
}

/** Null: no such body. */
async function read(bodies: BodyStore, { id, body }: Message): Promise<HeaderList | null> {
  const chunks = await bodies.get(id, { from: 0, to: body.headerBytes });
  return chunks && parseHeaders(Buffer.concat(await Array.fromAsync(chunks)));
}

/** Folds stay, the last CRLF goes. */
function textOf(line: string): string {
  return Buffer.from(line, "latin1").toString("utf8").replace(/\r\n$/, "");
}
