/** Where a message came from, as it is kept: of the session, but for what a proxy has said of this message by XFORWARD. */

import type { Origin } from "#shared/domain/message.ts";
import type { ClientAttributes } from "./client-attributes.ts";

export interface SessionFacts {
  readonly interface: { readonly name: string; readonly lmtp: boolean };
  /** True: the client said EHLO. */
  readonly esmtp: boolean;
  readonly secure: boolean;
  readonly ip: string | null;
  /** Its name by reverse DNS, or its address in brackets, or nothing. */
  readonly host: string | false;
  readonly helo: string | false;
  readonly user: string | null;
  readonly tls: string | null;
  /** Null: nothing was forwarded. */
  readonly forwarded: ClientAttributes | null;
}

export function originOf(facts: SessionFacts): Origin {
  const { forwarded } = facts;
  const host = typeof facts.host === "string" && !facts.host.startsWith("[") ? facts.host : "";
  const session = { ip: facts.ip, host: host || null, helo: facts.helo || null };
  // what is not said of another client is not known, and is not ours to fill in from the proxy (XFORWARD_README)
  const client = forwarded
    ? { ip: forwarded.ip ?? null, host: forwarded.host ?? null, helo: forwarded.helo ?? null }
    : session;
  return {
    interface: facts.interface.name,
    protocol: protocolOf(facts),
    ...client,
    user: facts.user,
    tls: facts.tls,
  };
}

/** RFC 3848 has names for ESMTP with TLS and AUTH, none for a client that said HELO. */
function protocolOf({ interface: { lmtp }, esmtp, secure, user }: SessionFacts): Origin["protocol"] {
  if (lmtp) return "LMTP";
  if (!esmtp) return "SMTP";
  return `ESMTP${secure ? "S" : ""}${user === null ? "" : "A"}`;
}
