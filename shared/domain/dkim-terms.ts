/**
 * What DKIM signatures cover and how long they hold, where the operator says so: which header fields, the time of signing (`t=`)
 * and the time after which they do not hold any more (`x=`). What is signed when nothing is said: dkim-headers.ts.
 */

import { DomainError } from "./errors.ts";

export interface DkimTerms {
  /** Names of the header fields that are signed; null: the usual ones. */
  readonly headerFields: readonly string[] | null;
  /** Beside those. */
  readonly additionalHeaderFields: readonly string[];
  /** True: a signature says when it was made. */
  readonly timestamp: boolean;
  /** A signature holds for so long after its time, and it is written only where that is; null: for good. */
  readonly expireInSeconds: number | null;
}

/** Signers should say the time (RFC 6376 §3.5). An end does no good to mail that lies in a queue for days. */
export const USUAL_TERMS: DkimTerms = {
  headerFields: null,
  additionalHeaderFields: [],
  timestamp: true,
  expireInSeconds: null,
};

/** A name in `h=`: RFC 5322 §2.2 without the semicolon, which would end the tag (RFC 6376 §3.2). */
const FIELD_NAME = /^[!-9<-~]{1,76}$/;
/** `h=` goes out with each mail. */
const MAX_FIELD_NAMES = 100;
/** Ten years. `x=` has at most twelve digits (RFC 6376 §3.5). */
export const MAX_EXPIRE_SECONDS = 10 * 366 * 86_400;

export type FieldNames =
  | { readonly kind: "names"; readonly names: readonly string[] }
  | { readonly kind: "wrong"; readonly expected: string };

/** Names in a list, or in one text with colons between them as in `h=`, each once. `whole`: they are all that is signed. */
export function parseFieldNames(
  input: string | readonly string[],
  { whole }: { readonly whole: boolean },
): FieldNames {
  const written = [input].flat().flatMap((text) => text.split(":").map((name) => name.trim()));
  const byKey = new Map(written.filter((name) => name !== "").map((name) => [name.toLowerCase(), name]));
  const names = [...byKey.values()];
  if (names.length > MAX_FIELD_NAMES) return { kind: "wrong", expected: `at most ${MAX_FIELD_NAMES} names` };
  if (!names.every((name) => FIELD_NAME.test(name)))
    return { kind: "wrong", expected: "names of header fields, in a list or with colons between them" };
  if (whole && names.length > 0 && !byKey.has("from"))
    return {
      kind: "wrong",
      expected: "From among them: verifiers take no signature without it (RFC 6376 section 5.4)",
    };
  return { kind: "names", names };
}

/** What may be said of one key that comes with a mail or from a plugin, by ZoneMTA's names. */
export interface DkimKeyOptions {
  readonly headerFieldNames?: string | readonly string[] | null | undefined;
  readonly additionalHeaderFieldNames?: string | readonly string[] | null | undefined;
  readonly addSignatureTimestamp?: boolean | null | undefined;
  /** Seconds; 0: it does not end. */
  readonly signatureExpireIn?: number | null | undefined;
}

/** What they say; null: nothing. Throws `invalid-request`. */
export function termsOfOptions(options: DkimKeyOptions): Partial<DkimTerms> | null {
  const { addSignatureTimestamp: timestamp, signatureExpireIn: seconds } = options;
  const headerFields = namesOf("headerFieldNames", options.headerFieldNames, { whole: true });
  const additional = namesOf("additionalHeaderFieldNames", options.additionalHeaderFieldNames, {
    whole: false,
  });
  const terms: Partial<DkimTerms> = {
    ...(headerFields.length > 0 && { headerFields }),
    ...(additional.length > 0 && { additionalHeaderFields: additional }),
    ...(typeof timestamp === "boolean" && { timestamp }),
    ...(typeof seconds === "number" && { expireInSeconds: secondsOf(seconds) }),
  };
  return Object.keys(terms).length === 0 ? null : terms;
}

function namesOf(
  option: string,
  input: string | readonly string[] | null | undefined,
  { whole }: { readonly whole: boolean },
): readonly string[] {
  const fields = parseFieldNames(input ?? [], { whole });
  if (fields.kind === "names") return fields.names;
  throw new DomainError("invalid-request", `${option} of a DKIM key: expected ${fields.expected}`);
}

function secondsOf(seconds: number): number | null {
  if (seconds === 0) return null;
  if (Number.isInteger(seconds) && seconds > 0 && seconds <= MAX_EXPIRE_SECONDS) return seconds;
  const expected = `a whole number of seconds, at most ${MAX_EXPIRE_SECONDS}`;
  throw new DomainError("invalid-request", `signatureExpireIn of a DKIM key: expected ${expected}`);
}
