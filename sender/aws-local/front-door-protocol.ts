/** What the process of the front door tells the one that forked it. */

export type FromFrontDoor =
  | { readonly type: "ready"; readonly address: string; readonly port: number; readonly apiKey: string }
  | { readonly type: "invocation"; readonly name: string; readonly durationMs: number }
  /** It cannot start; the message is for the operator's screen. It ends by itself. */
  | { readonly type: "failed"; readonly message: string };
