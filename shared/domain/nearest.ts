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

/** Insertions, deletions, replacements and swaps of neighbours that make one of the other. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? at(i - 2, j - 2) + 1 : Infinity;
      row.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replaced, swapped));
    }
  }
  return at(a.length, b.length);
}
