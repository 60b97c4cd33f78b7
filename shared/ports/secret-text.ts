/** The one secret of a deployment, as text. */
export interface SecretText {
  /** What operators know it by. */
  readonly name: string;
  /** Throws a `DomainError` when there is none. */
  read(): Promise<string>;
  write(text: string): Promise<void>;
}
