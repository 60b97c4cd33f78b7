/** Why a file cannot be read, in words that a person who named it understands. */

/** The system's word for it without the path, which the message has already. */
export function whyUnreadable(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "no such file";
    case "EACCES":
      return "permission denied";
    case "EISDIR":
      return "it is a folder";
    default:
      return error.message;
  }
}
