/** Options of the benchmarks as they are typed. */

import { UsageError } from "../cli/command.ts";

/** Numbers of one option or more, each above 0. */
export function numbersOf<const Name extends string>(
  values: Readonly<Record<Name, string>>,
  ...names: readonly Name[]
): Record<Name, number> {
  const numbers = names.map((name) => [name, numberOf(values[name], name)] as const);
  return Object.fromEntries(numbers) as Record<Name, number>;
}

export function numberOf(text: string, name: string): number {
  const number = Number(text);
  if (number > 0 && Number.isFinite(number)) return number;
  throw new UsageError(`--${name} is a number above 0, and not ${text}`);
}
