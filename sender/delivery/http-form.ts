/**
 * A mail as the multipart/form-data (RFC 7578) of an HTTP delivery, with ZoneMTA's fields: who, the headers that a receiver asks for
 * most, the first half megabyte as text, and the whole as a file. The content is read twice and never held.
 */

import addressparser from "nodemailer/lib/addressparser";

import { parseAddress } from "#shared/domain/address.ts";
import { decodeWords } from "#shared/domain/encoded-words.ts";
import { allValues, firstValue, parseHeaders } from "#shared/domain/headers.ts";
import type { HeaderList } from "#shared/domain/headers.ts";
import type { Message } from "#shared/domain/message.ts";
import type { QueueRow } from "#shared/domain/queue-row.ts";
import { KIB } from "#shared/domain/units.ts";
import type { ByteRange } from "#shared/ports/body-store.ts";

export interface MailForm {
  readonly contentType: string;
  readonly bytes: number;
  /** Throws when the content cannot be read, or is not as long as it was said to be. */
  readonly body: AsyncIterable<Buffer>;
}

export interface FormSource {
  readonly message: Message;
  readonly row: QueueRow;
  /** Lines that go before the stored message: Received and signatures. */
  readonly head: Buffer;
  readonly headerBlock: Buffer;
  /** The stored message. Throws when it is not there. */
  readonly stored: (range?: ByteRange) => Promise<AsyncIterable<Buffer>>;
  /** Not to be guessed, so that no content can end its part. */
  readonly boundary: string;
}

/** Of the message as a text field. */
const MAX_TEXT_BYTES = 500 * KIB;

export function mailForm(source: FormSource): MailForm {
  const { message, row, head, boundary } = source;
  const length = head.length + message.body.bytes;
  const textLength = Math.min(length, MAX_TEXT_BYTES);
  const fields = [
    ["id", row.id],
    ["from", message.returnPath ?? ""],
    ["to", row.recipient],
    ...headerFields(parseHeaders(source.headerBlock)),
    ["mail_to_http[from]", message.returnPath ?? ""],
    ["mail_to_http[rcpt]", row.recipient],
    ["mail_to_http[real_length]", String(length)],
  ] as const;
  const texts = fields.map(([name, value]) => `${partStart(boundary, name)}\r\n${value}\r\n`).join("");
  const before = Buffer.from(`${texts}${partStart(boundary, "mail_to_http[body]")}\r\n`);
  const file = `; filename="${message.id}.eml"\r\nContent-Type: message/rfc822`;
  const between = Buffer.from(`\r\n${partStart(boundary, "message", file)}\r\n`);
  const after = Buffer.from(`\r\n--${boundary}--\r\n`);
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    bytes: before.length + textLength + between.length + length + after.length,
    body: parts(source, { before, textLength, between, length, after }),
  };
}

interface Layout {
  readonly before: Buffer;
  readonly textLength: number;
  readonly between: Buffer;
  readonly length: number;
  readonly after: Buffer;
}

async function* parts(
  { head, stored }: FormSource,
  { before, textLength, between, length, after }: Layout,
): AsyncGenerator<Buffer> {
  yield before;
  yield* whole(
    head.subarray(0, textLength),
    () => stored({ from: 0, to: Math.max(0, textLength - head.length) }),
    textLength,
  );
  yield between;
  yield* whole(head, () => stored(), length);
  yield after;
}

async function* whole(
  head: Buffer,
  stored: () => Promise<AsyncIterable<Buffer>>,
  length: number,
): AsyncGenerator<Buffer> {
  let bytes = head.length;
  yield head;
  if (bytes < length) {
    for await (const chunk of await stored()) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  if (bytes !== length) throw new Error(`the stored message has ${bytes} bytes in place of ${length}`);
}

function partStart(boundary: string, name: string, more = ""): string {
  return `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${more}\r\n`;
}

/** Those that the message has, each as JSON. */
function headerFields(headers: HeaderList): (readonly [string, string])[] {
  const subject = firstValue(headers, "subject");
  const values = {
    from: mailboxes(headers, "from")[0],
    to: mailboxes(headers, "to"),
    cc: mailboxes(headers, "cc"),
    bcc: mailboxes(headers, "bcc"),
    reply_to: mailboxes(headers, "reply-to")[0],
    sender: mailboxes(headers, "sender")[0],
    in_reply_to: firstValue(headers, "in-reply-to"),
    references: firstValue(headers, "references"),
    date: firstValue(headers, "date"),
    message_id: firstValue(headers, "message-id"),
    subject:
      subject === null
        ? null
        : decodeWords(subject)
            .replaceAll(/[\x00-\x1f]+/g, "_")
            .trim(),
  };
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined || value === null || value.length === 0
      ? []
      : [[`headers[${key}]`, JSON.stringify(value)] as const],
  );
}

interface Mailbox {
  readonly name: string;
  readonly address: string;
  readonly length?: undefined;
}

function mailboxes(headers: HeaderList, key: string): Mailbox[] {
  return allValues(headers, key)
    .flatMap((value) => addressparser(value, { flatten: true }))
    .map(({ name, address }) => ({ name: decodeWords(name), address: parseAddress(address) ?? address }))
    .filter(({ address }) => address !== "");
}
