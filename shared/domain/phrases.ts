/**
 * Finding known phrases in a short text in one pass, however many there are: phrases are looked up by their first two words.
 *
 * Text and phrases are words of letters and digits in lower case and without accents; everything between them is one space, so
 * `(DYN:T1)` and `dyn t1` are the same. In a phrase `..` stands for up to `MAX_GAP` characters of anything, `(ip/host name)` for
 * one of these, and `*` at the end of a part for the rest of a word: `mailbox .. full`, `message .. reject*`. The first word of
 * a phrase is always whole. An IP address is the word `ipaddr`.
 */

const MAX_GAP = 80;

/** An address tells of the mail, not of the peer's reason. */
const ADDRESS = /[^\s<>()[\]"',;:=]+@[^\s<>()[\]"',;:]+/g;
const IPV4 = /(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)/g;
/** Three colons at least: a time of day has two. */
const IPV6 = /(?<![\w:])[\da-f]{1,4}(?::[\da-f]{0,4}){3,7}(?![\w:])/g;
const BETWEEN_WORDS = /[^\p{L}\p{N}]+/gu;
const ACCENTS = /\p{M}+/gu;
const NOT_ASCII = /[^\0-\u007f]/;

/** The words with one space around each; addresses are left out. */
export function wordsOf(text: string): string {
  const lower = text.toLowerCase();
  let plain = lower.includes("@") ? lower.replaceAll(ADDRESS, " ") : lower;
  plain = plain.replaceAll(IPV4, " ipaddr ");
  if (plain.includes(":")) plain = plain.replaceAll(IPV6, " ipaddr ");
  return ` ${withoutAccents(plain).replaceAll(BETWEEN_WORDS, " ").trim()} `;
}

/** Many servers leave them out, since replies were ASCII once. */
function withoutAccents(text: string): string {
  return NOT_ASCII.test(text) ? text.normalize("NFKD").replaceAll(ACCENTS, "") : text;
}

/** One of them has to be there. Each begins with a space, and ends with one unless a word may go on. */
type Choices = readonly string[];

interface Phrase {
  readonly owner: number;
  readonly parts: readonly Choices[];
}

export interface PhraseIndex {
  /** The smallest owner whose phrase is in the words and whom `wanted` accepts; -1: none. */
  first(words: string, wanted: (owner: number) => boolean): number;
}

/** `phrasesByOwner[i]` are the phrases of owner `i`. */
export function phraseIndex(phrasesByOwner: readonly (readonly string[])[]): PhraseIndex {
  const byStart = byFirstWords(phrasesByOwner);
  return {
    first(words, wanted) {
      const text = { words, present: new Map<Choices, Choices>() };
      let best = Number.POSITIVE_INFINITY;
      const tryAt = (at: number, firstWords: string) => {
        for (const phrase of byStart.get(firstWords) ?? []) {
          if (phrase.owner >= best) return; // owners are in rising order
          if (wanted(phrase.owner) && isAt(text, at, phrase.parts)) best = phrase.owner;
        }
      };
      for (let at = 0; at < words.length - 1; at = words.indexOf(" ", at + 1)) {
        const end = words.indexOf(" ", at + 1);
        const next = words.indexOf(" ", end + 1);
        tryAt(at, words.slice(at + 1, end));
        if (next !== -1) tryAt(at, words.slice(at + 1, next));
      }
      return Number.isFinite(best) ? best : -1;
    },
  };
}

function byFirstWords(phrasesByOwner: readonly (readonly string[])[]): Map<string, Phrase[]> {
  const index = new Map<string, Phrase[]>();
  for (const [owner, phrases] of phrasesByOwner.entries()) {
    for (const phrase of phrases) {
      const [starts = [], ...rest] = partsOf(phrase);
      for (const [key, sameStart] of Map.groupBy(starts, (start) => firstWordsOf(start, phrase))) {
        const known = index.get(key) ?? [];
        known.push({ owner, parts: [sameStart, ...rest] });
        index.set(key, known);
      }
    }
  }
  return index;
}

/** Texts that the phrase finds: one for each choice that it offers. */
export function examplesOf(phrase: string): string[] {
  const parts = partsOf(phrase).map((choices) => choices.map((choice) => choice.trim()));
  return parts.flatMap((choices, i) =>
    choices.map((choice) => parts.map((others, j) => (i === j ? choice : others[0])).join(" x ")),
  );
}

function partsOf(phrase: string): string[][] {
  return withoutAccents(phrase)
    .split(" .. ")
    .map((part) =>
      choicesOf(part).map((words) => (words.endsWith("*") ? ` ${words.slice(0, -1)}` : ` ${words} `)),
    );
}

/** `your (ip/host)` is `your ip` and `your host`. */
function choicesOf(part: string): string[] {
  const [all = "", before = "", choices = "", after = ""] = /^([^(]*)\(([^)]*)\)(.*)$/.exec(part) ?? [];
  if (all === "") return [part];
  return choices.split("/").flatMap((choice) => choicesOf(before + choice.trim() + after));
}

/** The first two words, or the first where the second is not there or not whole. */
function firstWordsOf(start: string, phrase: string): string {
  const words = /^ ([\p{L}\p{N}]+(?: [\p{L}\p{N}]+(?= ))?) ?/u.exec(start)?.[1];
  if (words === undefined || start === ` ${words}`) {
    throw new Error(`a phrase has to begin with a whole word: ${phrase}`);
  }
  return words;
}

interface Text {
  readonly words: string;
  /** The choices of a part that are anywhere in it: most are not, and need not be looked for again and again. */
  readonly present: Map<Choices, Choices>;
}

function isAt(text: Text, start: number, [starts = [], ...rest]: readonly Choices[]): boolean {
  return starts.some(
    (begin) => text.words.startsWith(begin, start) && goesOn(text, start + begin.length - 1, rest),
  );
}

/** From `end`, a space that may begin the next part. */
function goesOn(text: Text, end: number, rest: readonly Choices[]): boolean {
  let from = end;
  for (const part of rest) {
    const ends = presentIn(text, part).map((choice) => endWithinGap(text.words, from, choice));
    from = Math.min(...ends.filter((found) => found !== -1));
    if (!Number.isFinite(from)) return false;
  }
  return true;
}

function presentIn({ words, present }: Text, part: Choices): Choices {
  const known = present.get(part) ?? part.filter((choice) => words.includes(choice));
  present.set(part, known);
  return known;
}

function endWithinGap(words: string, from: number, choice: string): number {
  const at = words.slice(from, from + MAX_GAP + choice.length).indexOf(choice);
  return at === -1 ? -1 : from + at + choice.length - 1;
}
