/** Seals what is secret and travels with mail, such as the password of a relay, for the store: it is kept nowhere in clear. */

export interface Sealing {
  /** `place` says what the text is kept as: at another place it does not open. Rejects where there is no key to seal with. */
  seal(text: string, place: string): Promise<string>;
  /** Rejects when it was not sealed with our key for this place. */
  open(sealed: string, place: string): Promise<string>;
}
