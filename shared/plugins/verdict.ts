/**
 * What a hook may end a mail with: `reject` refuses it, `drop` takes it and sends it to nobody. Anything else that a hook throws is a
 * fault of the plugin: the mail is not taken for now (451), or stays in the queue.
 */

import { RefusedError } from "../domain/errors.ts";

/** Said by a plugin with `app.drop`: the client hears 250, and the mail is sent to nobody. */
export class DroppedError extends Error {
  override readonly name = "SMTPResponse"; // ZoneMTA's
  readonly responseCode = 250;
  /** Why, for the log and for who asks after the mail. */
  readonly description: string;
  /** What the client is told; null: what he hears of any mail. */
  readonly text: string | null;

  constructor(description: string, text: string | null) {
    super(text ?? description);
    this.description = description;
    this.text = text;
  }
}

/** A hook of a plugin has failed: thrown, hung, or set what cannot be. The mail is not at fault. */
export class PluginError extends Error {
  override readonly name = "PluginError";
  readonly plugin: string;

  constructor(plugin: string, message: string, cause?: unknown) {
    super(`plugin ${plugin}: ${message}`, cause === undefined ? {} : { cause });
    this.plugin = plugin;
  }
}

const REJECT_CODE = 550;
const MAX_TEXT = 400;
const CODE = /^([245]\d\d)[ -]\s*/;
const ENHANCED = /^[245]\.\d{1,3}\.\d{1,3} /;

/** `text` may begin with the reply code, as in ZoneMTA. */
export function rejection(text: string): RefusedError {
  const code = Number(CODE.exec(text)?.[1] ?? REJECT_CODE);
  return refusal(code >= 400 ? code : REJECT_CODE, text.replace(CODE, ""));
}

export function dropped(description: string, text: string | null): DroppedError {
  const plain = text?.replace(CODE, "").trim() ?? "";
  return new DroppedError(description, plain === "" ? null : oneLine(plain));
}

/** What an error of a hook says: a verdict on the mail, or that the plugin has failed. */
export function verdictOf(plugin: string, error: unknown): RefusedError | DroppedError | PluginError {
  if (error instanceof RefusedError || error instanceof DroppedError || error instanceof PluginError)
    return error;
  const code = responseCodeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  if (code !== null && code >= 400) return refusal(code, message);
  // ZoneMTA's own way to make a drop
  if (code !== null && error instanceof Error && error.name === "SMTPResponse")
    return dropped(message, message);
  return new PluginError(plugin, message, error);
}

function refusal(code: number, text: string): RefusedError {
  const plain = oneLine(text) || "Refused";
  return new RefusedError({
    code,
    text: ENHANCED.test(plain) ? plain : `${code < 500 ? 4 : 5}.7.1 ${plain}`,
  });
}

/** Null: the error does not say what to answer. */
function responseCodeOf(error: unknown): number | null {
  if (!(error instanceof Error) || !("responseCode" in error)) return null;
  const code = Number(error.responseCode);
  return Number.isInteger(code) && code >= 200 && code <= 599 ? code : null;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim().slice(0, MAX_TEXT);
}
