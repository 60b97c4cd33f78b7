/**
 * What a caller did wrong. A `DomainError` is answered to the caller in the words of the front door he used (4xx, 5yz);
 * anything else that is thrown is our fault and is answered 503 or 451 with no detail.
 */

/** Stable codes, part of the API: never rename one. */
export type DomainErrorCode =
  | "invalid-address"
  | "invalid-body"
  | "invalid-config"
  | "invalid-header"
  | "invalid-request"
  | "bare-newline"
  | "needs-smtputf8"
  | "delivery-loop"
  | "incomplete-message"
  | "header-too-long"
  | "message-too-large"
  | "no-recipients"
  | "too-many-recipients"
  | "file-access"
  | "not-found"
  | "unauthorized"
  | "forbidden"
  | "too-large"
  | "conflict"
  | "refused";

export class DomainError extends Error {
  readonly code: DomainErrorCode;
  /** Where in the caller's input, such as `to[3]` or `zones.default.pool`; null when it is about the whole. */
  readonly path: string | null;

  /** `message` says what is wrong and what to change. */
  constructor(code: DomainErrorCode, message: string, path: string | null = null) {
    super(message);
    this.name = "DomainError";
    this.code = code;
    this.path = path;
  }
}

/**
 * The operator's own rules, as a plugin or his directory of senders has them, do not take the mail: `reply` is what an SMTP
 * client is to hear of it.
 */
export class RefusedError extends DomainError {
  /** `code` is of class 4 or 5. */
  readonly reply: { readonly code: number; readonly text: string };

  constructor(reply: { readonly code: number; readonly text: string }) {
    super("refused", reply.text);
    this.name = "RefusedError";
    this.reply = reply;
  }
}
