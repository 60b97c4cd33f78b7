/**
 * smtp-server's parser of command lines, with our own reading of the lines after DATA: into a `MessageBody`, with no stream in
 * between. Overrides `_feedDataStream`, the one place where smtp-server 3.21.6 hands on bytes in data mode.
 */

/* oxlint-disable eslint/no-underscore-dangle -- the names are those of smtp-server */

import assert from "node:assert/strict";

import { SMTPStream } from "smtp-server/lib/smtp-stream.js";

import { EndOfData } from "./end-of-data.ts";
import type { MessageBody } from "./message-body.ts";

/** Room for AUTH of 12,288 octets (RFC 4954 §4) and any MAIL command; a longer line ends the session. */
const MAX_COMMAND_BYTES = 16_384;

/** The client sends without end. */
export class EndlessMessage extends Error {
  override readonly name = "EndlessMessage";
}

export class MessageParser extends SMTPStream {
  #body: MessageBody | null = null;
  #endOfData = new EndOfData();
  #proceed: (() => void) | null = null;

  constructor() {
    super({ maxCommandLength: MAX_COMMAND_BYTES });
  }

  /** What comes next is a message. After its end nothing is read until `proceed`. */
  receive(body: MessageBody): void {
    this.#body = body;
    this.#endOfData = new EndOfData();
    this._dataMode = true;
  }

  /** The message is answered: read commands again. */
  proceed(): void {
    const proceed = this.#proceed;
    this.#proceed = null;
    proceed?.();
  }

  override _feedDataStream(chunk: Buffer, done: (error?: Error | null) => void): void {
    const body = this.#body;
    assert.ok(body, "data mode has a body");
    const rest = this.#endOfData.take(chunk, (content) => body.push(content));
    if (rest === null) {
      if (body.endless) done(new EndlessMessage());
      else if (body.full) body.whenRoom(done);
      else done();
      return;
    }
    this.#body = null;
    this._dataMode = false;
    this._remainder = "";
    this.#proceed = () => this._write(rest, "buffer", done);
    body.end();
  }
}
