/** One look at what anybody may read over HTTPS. A port, so that tests need neither the network nor its certificates. */

export interface HttpsPage {
  readonly host: string;
  /** With its slash. */
  readonly path: string;
  /** A larger answer counts as none. */
  readonly maxBytes: number;
  /** For all of it, from looking up the host to the last byte. */
  readonly timeoutMs: number;
}

/** `failed`: no certificate that is valid for the host, no whole answer in time, or one that is too large. */
export type HttpsAnswer =
  | { kind: "answered"; status: number; contentType: string; body: string }
  | { kind: "failed"; detail: string };

/** No redirect is followed: it is an answer with a status of class 3. */
export type HttpsGet = (page: HttpsPage) => Promise<HttpsAnswer>;
