/** Telling errors of AWS apart. */

/** Names differ a little between servers: some put `AWS.SimpleQueueService.` or the like in front. */
export function hasName(error: unknown, name: string): error is Error {
  return error instanceof Error && (error.name === name || error.name.endsWith(`.${name}`));
}
