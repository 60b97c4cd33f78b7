/** Header blocks as plugins change them: mailsplit's `Headers` in place of ours, and back. */

import { Headers } from "mailsplit";

import type { HeaderList } from "../domain/headers.ts";
import { parseHeaders } from "../domain/headers.ts";

export function headersView(headers: HeaderList): Headers {
  return new Headers(Buffer.from(headers.map(({ line }) => line).join(""), "latin1"));
}

/** As the plugins left them; `before` itself when they changed nothing. Safe to call at any time. */
export function headersFrom(view: Headers, before: HeaderList): HeaderList {
  return view.changed ? parseHeaders(view.build()) : before;
}
