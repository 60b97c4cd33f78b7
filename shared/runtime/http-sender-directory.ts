/**
 * Sender configuration over HTTP, as ZoneMTA's `http-config` asks for it: a POST of a form, answered by a JSON object.
 * `error` (with `code`) in it refuses the mail; `sendingZone`, `deferDelivery`, `fbl` and `dkim.keys` are settings, and so are
 * the keys that choose a way (app/ways.ts), by which each sender can have a relay of his own; other keys are left alone.
 */

import { LRUCache } from "lru-cache";
import * as z from "zod";

import type { Clock } from "../domain/clock.ts";
import type { DkimKeySource, HttpServiceConfig } from "../domain/config.ts";
import { dkimSourceOf, parseDkimKey } from "../domain/dkim.ts";
import { MAX_FBL_CHARS } from "../domain/intake.ts";
import { parseMailDate } from "../domain/mail-date.ts";
import type { EpochMs } from "../domain/units.ts";
import { later } from "../domain/units.ts";
import type {
  SenderAnswer,
  SenderDirectory,
  SenderFacts,
  SenderSettings,
} from "../ports/sender-directory.ts";
import { printPath } from "../app/parse-input.ts";
import { readWay } from "../app/ways.ts";
import { httpAsker } from "./http-ask.ts";

const MAX_REMEMBERED = 10_000;
const DEFAULT_REFUSAL = 550;

/** Each is one signature of each mail. */
const MAX_KEYS = 10;

const FieldNames = z.union([z.string(), z.array(z.string())]);
const KeyShape = z.looseObject({
  domainName: z.string(),
  keySelector: z.string(),
  privateKey: z.string(),
  headerFieldNames: FieldNames.nullish(),
  additionalHeaderFieldNames: FieldNames.nullish(),
  addSignatureTimestamp: z.boolean().nullish(),
  signatureExpireIn: z.number().nullish(),
});

const AnswerShape = z.looseObject({
  error: z.string().nullish(),
  code: z.union([z.number(), z.string()]).nullish(),
  sendingZone: z.string().nullish(),
  /** Milliseconds since 1970, or a date. */
  deferDelivery: z.union([z.number(), z.string(), z.literal(false)]).nullish(),
  fbl: z.string().nullish(),
  dkim: z.looseObject({ keys: z.union([z.array(KeyShape).max(MAX_KEYS), KeyShape]).nullish() }).nullish(),
});

interface Remembered {
  readonly settings: SenderSettings;
  readonly until: EpochMs;
}

export function httpSenderDirectory(
  { url, timeoutMs, cacheMs }: HttpServiceConfig,
  { clock }: { clock: Clock },
): SenderDirectory {
  const ask = httpAsker({ timeoutMs, clock });
  const remembered = new LRUCache<string, Remembered>({ max: MAX_REMEMBERED });
  return {
    async lookUp(sender) {
      const body = formOf(sender);
      const known = remembered.get(body);
      if (known && clock.now() < known.until) return { kind: "settings", settings: known.settings };
      const { status, text } = await ask({
        method: "POST",
        url,
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body,
      });
      if (status < 200 || status > 299) throw new Error(`the sender configuration was answered ${status}`);
      const answer = readAnswer(text);
      if (cacheMs > 0 && answer.kind === "settings")
        remembered.set(body, { settings: answer.settings, until: later(clock.now(), cacheMs) });
      return answer;
    },
  };
}

function formOf({ returnPath, origin }: SenderFacts): string {
  return new URLSearchParams({
    from: returnPath ?? "",
    origin: origin.ip ?? "",
    originhost: origin.host ?? "",
    transhost: origin.helo ?? "",
    transtype: origin.protocol,
    user: origin.user ?? "",
  }).toString();
}

/** Throws when it is not what it should be: to go by half of it might send what was to be held back. */
function readAnswer(text: string): SenderAnswer {
  const answer = jsonOf(text);
  const { error, code, sendingZone, deferDelivery, fbl, dkim } = shapeOf(answer);
  if (typeof error === "string" && error !== "") {
    return { kind: "refused", code: refusalCode(code), text: error };
  }
  const settings = {
    zone: sendingZone ?? null,
    notBefore: timeOf(deferDelivery),
    fbl: fbl?.slice(0, MAX_FBL_CHARS) || null,
    dkimKeys: [dkim?.keys ?? []].flat().map(keyOf),
    way: readWay(answer),
  };
  return { kind: "settings", settings };
}

function shapeOf(answer: unknown): z.output<typeof AnswerShape> {
  const { success, data, error } = AnswerShape.safeParse(answer);
  if (success) return data;
  const [{ path, message } = { path: [], message: "" }] = error.issues;
  const where = path.length === 0 ? "" : `${printPath(path)}: `;
  throw new Error(`the sender configuration is not to be used: ${where}${message}`);
}

/** The error of the parser would show a piece of the text, which may be a piece of a key. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("the sender configuration is no JSON");
  }
}

/** Throws when nothing could be signed with it. */
function keyOf(key: z.infer<typeof KeyShape>): DkimKeySource {
  const source = dkimSourceOf(key);
  parseDkimKey(source);
  return source;
}

function refusalCode(given: string | number | null | undefined): number {
  const code = Number(given ?? DEFAULT_REFUSAL);
  return Number.isInteger(code) && code >= 400 && code <= 599 ? code : DEFAULT_REFUSAL;
}

function timeOf(given: string | number | false | null | undefined): EpochMs | null {
  if (given === undefined || given === null || given === false || given === "") return null;
  const time = typeof given === "string" && !/^\d+$/.test(given) ? parseMailDate(given) : Number(given);
  if (time === null || !Number.isFinite(time)) throw new Error("deferDelivery is not a time");
  return time as EpochMs;
}
