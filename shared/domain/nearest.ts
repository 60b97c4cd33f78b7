/** The known name that somebody most likely meant by an unknown one. */

/** Names longer than this are nobody's slip, and comparing them costs their length squared. */
const MAX_NAME_LENGTH = 64;

/** Null: none can be reached within a third of the name's length (one change at least). Case is no change. */
export function nearestName(name: string, known: readonly string[]): string | null {
  if (name.length > MAX_NAME_LENGTH) return null;
  let best: { name: string; changes: number } | null = null;
  for (const candidate of known) {
    const changes = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (changes < (best?.changes ?? Infinity)) best = { name: candidate, changes };
  }
  return best && best.changes <= Math.max(1, Math.floor(name.length / 3)) ? best.name : null;
}

/** Insertions, deletions and replacements that make one of the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced));
    }
    above = row;
  }
  return above[b.length] ?? 0;
}
