/** Fields of query strings and paths, which are text whatever they mean. */

import * as z from "zod";

/** A whole number. */
export function numberIn(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/, "expected a whole number")
    .transform(Number)
    .pipe(z.number().min(min).max(max));
}
/** One of these words, in any case. */
export function anyCase<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z
    .string()
    .toLowerCase()
    .meta({ enum: [...words] }) // for the OpenAPI document, which shows what comes in
    .pipe(z.enum(words));
}
