/** The date-time of mail headers (RFC 5322 §3.3, with the obsolete forms of §4.3), printed and read without the local time zone. */

import type { EpochMs } from "./units.ts";

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/** Minutes east of UTC. Other names are of unknown offset and read as UTC, as §4.3 says. */
const ZONES: Readonly<Record<string, number>> = {
  est: -300,
  edt: -240,
  cst: -360,
  cdt: -300,
  mst: -420,
  mdt: -360,
  pst: -480,
  pdt: -420,
};

const DATE_TIME =
  /^(?:[a-z]{3,9} ?, ?)?(\d{1,2}) ([a-z]{3}) (\d{2,4}) (\d{1,2}) ?: ?(\d{2})(?: ?: ?(\d{2}))?(?: ([+-]\d{4}|[a-z]{1,5}))?$/;
/** Not mail's form, but clear, and seen in mail of programs. */
const ISO_8601 = /^\d{4}-\d\d-\d\d[tT]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[zZ]|[+-]\d\d:?\d\d)$/;

/** Longer text is no date: the bound keeps hostile headers cheap. */
const MAX_DATE_CHARS = 200;

/** `Fri, 20 Nov 2026 22:53:58 +0000`. */
export function printMailDate(at: EpochMs): string {
  return new Date(at).toUTCString().replace("GMT", "+0000");
}

/** Null: not a date. A missing zone is read as UTC. */
export function parseMailDate(text: string): EpochMs | null {
  if (text.length > MAX_DATE_CHARS) return null;
  const plain = withoutComments(text).replaceAll(/\s+/g, " ").trim();
  if (ISO_8601.test(plain)) return instant(Date.parse(plain.toUpperCase()));
  const match = DATE_TIME.exec(plain.toLowerCase());
  if (!match) return null;
  const [day, hour, minute, second] = [match[1], match[4], match[5], match[6] ?? "0"].map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const month = MONTHS.indexOf(match[2] as string);
  if (month === -1 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) return null;
  const year = fullYear(match[3] as string);
  return instant(Date.UTC(year, month, day, hour, minute - offsetMinutes(match[7] ?? "+0000"), second));
}

/** Two- and three-digit years as §4.3 reads them. */
function fullYear(digits: string): number {
  const year = Number(digits);
  if (digits.length === 2) return year < 50 ? 2000 + year : 1900 + year;
  return digits.length === 3 ? 1900 + year : year;
}

function offsetMinutes(zone: string): number {
  const numeric = /^([+-])(\d\d)(\d\d)$/.exec(zone);
  if (!numeric) return ZONES[zone] ?? 0;
  const minutes = Number(numeric[2]) * 60 + Number(numeric[3]);
  return numeric[1] === "-" ? -minutes : minutes;
}

/** Innermost first, so that nested comments go too; what is left of an unclosed one makes the date unreadable. */
function withoutComments(text: string): string {
  let plain = text;
  for (let before = ""; before !== plain;) {
    before = plain;
    plain = plain.replaceAll(/\([^()]*\)/g, " ");
  }
  return plain;
}

function instant(ms: number): EpochMs | null {
  return Number.isNaN(ms) ? null : (ms as EpochMs);
}
