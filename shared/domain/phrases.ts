/**
 * Finding known phrases in a short text in one pass, however many there are: phrases are looked up by their first word.
 *
 * Text and phrases are words of letters and digits in lower case; everything between them is one space, so `(DYN:T1)` and
 * `dyn t1` are the same. In a phrase `..` stands for up to `MAX_GAP` characters of anything, and `*` at the end of a part for
 * the rest of a word: `mailbox .. full`, `message .. reject*`. The first word of a phrase is always whole. An IPv4 address is the word `ipv4`.
 */

const MAX_GAP = 80;

/** An address tells of the mail, not of the peer's reason. */
const ADDRESS = /[^\s<>()[\]"',;:=]+@[^\s<>()[\]"',;:]+/g;
const IPV4 = /(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)/g;
const BETWEEN_WORDS = /[^\p{L}\p{N}]+/gu;

/** The words with one space around each; addresses are left out. */
export function wordsOf(text: string): string {
  const lower = text.toLowerCase();
  const plain = lower.includes("@") ? lower.replaceAll(ADDRESS, " ") : lower;
  return ` ${plain.replaceAll(IPV4, " ipv4 ").replaceAll(BETWEEN_WORDS, " ").trim()} `;
}

interface Phrase {
  readonly owner: number;
  /** Each begins with a space, and ends with one unless a word may go on. */
  readonly parts: readonly string[];
}

export interface PhraseIndex {
  /** The smallest owner whose phrase is in the words and whom `wanted` accepts; -1: none. */
  first(words: string, wanted: (owner: number) => boolean): number;
}

/** `phrasesByOwner[i]` are the phrases of owner `i`. */
export function phraseIndex(phrasesByOwner: readonly (readonly string[])[]): PhraseIndex {
  const byFirstWord = new Map<string, Phrase[]>();
  for (const [owner, phrases] of phrasesByOwner.entries()) {
    for (const text of phrases) {
      const firstWord = /^[\p{L}\p{N}]+(?= |$)/u.exec(text)?.[0];
      if (firstWord === undefined) throw new Error(`a phrase has to begin with a whole word: ${text}`);
      const phrase = { owner, parts: text.split(" .. ").map(partOf) };
      byFirstWord.set(firstWord, [...(byFirstWord.get(firstWord) ?? []), phrase]);
    }
  }
  return {
    first(words, wanted) {
      let best = Number.POSITIVE_INFINITY;
      for (let at = 0; at < words.length - 1; at = words.indexOf(" ", at + 1)) {
        for (const phrase of byFirstWord.get(words.slice(at + 1, words.indexOf(" ", at + 1))) ?? []) {
          if (phrase.owner >= best) break; // owners are in rising order
          if (wanted(phrase.owner) && isAt(words, at, phrase.parts)) best = phrase.owner;
        }
      }
      return Number.isFinite(best) ? best : -1;
    },
  };
}

function partOf(text: string): string {
  return text.endsWith("*") ? ` ${text.slice(0, -1)}` : ` ${text} `;
}

function isAt(words: string, start: number, parts: readonly string[]): boolean {
  let end = start;
  for (const [i, part] of parts.entries()) {
    const at = i === 0 ? (words.startsWith(part, end) ? end : -1) : words.indexOf(part, end);
    if (at === -1 || at - end > MAX_GAP) return false;
    end = at + part.length - 1; // the space at the end of a part may begin the next one
  }
  return true;
}
